"""What operator and machine say of a filter: what its lines prove, and whether its application is installed."""

from pathlib import Path

import msgspec

from monitor.detectors.failures import LineEvidence
from monitor.filters.definition import FilterDefinition
from monitor.filters.evidence import EvidenceRule


def with_evidence(definition: FilterDefinition, evidence: LineEvidence) -> FilterDefinition:
    """Return the filter with what the operator says of its evidence."""
    if evidence is LineEvidence.AUTO:
        return definition
    if evidence is LineEvidence.PROVEN:
        rule = EvidenceRule(doubt="", is_vouched=True)
    else:
        rule = EvidenceRule(doubt="the configuration says `evidence: spoofable`")
    return msgspec.structs.replace(definition, evidence=rule)


def is_installed(definition: FilterDefinition) -> bool:
    """Whether the application of a filter is on this machine, as far as the filter says where it would be."""
    writers = definition.evidence.writers
    return not writers or not writers.executables or any(Path(path).exists() for path in writers.executables)
