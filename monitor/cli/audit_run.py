"""One audit from the command line: gather, judge, leave out what is accepted, arrange."""

import os
import time
from pathlib import Path

import click
import msgspec

from monitor import __version__
from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Zone
from monitor.audit.judging import judge
from monitor.audit.kube_bench import KubeBench, read_kube_bench
from monitor.audit.registry import BY_ID
from monitor.audit.report import Report, arrange, encodable
from monitor.audit.suppressions import read_suppressions, suppress
from monitor.cli.audit_gathering import gather
from monitor.cli.nft_program import installed_version
from monitor.cli.target import Target
from monitor.settings.schema import Settings


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the options ask for."""

    checks: tuple[Check, ...]
    zones: tuple[Zone, ...]
    baseline: Path | None = None
    suppressions: Path | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A report, and what only this command says."""

    report: Report
    unused: list[str]
    """Suppressions that match nothing: the file and what they are about."""
    facts: Facts
    """What the findings rest on."""
    bench: KubeBench | None
    """What kube-bench found, if it left a result."""


def must_be_root() -> None:
    """Refuse to audit with fewer rights: what others run, and the rules, would look like nothing."""
    if os.geteuid() != 0:
        raise click.UsageError("an audit needs root: it reads the firewall, and has the kernel judge a copy of it")


def run_audit(settings: Settings, request: Request, target: Target) -> Run:
    """Audit this node. ConfigError if the suppressions or the baseline cannot be used."""
    started_s, started = time.time(), time.monotonic()
    path = request.suppressions or settings.audit.suppressions
    is_there = request.suppressions is not None or path.exists()
    suppressions = read_suppressions(path, BY_ID) if is_there else ()
    gathered = gather(settings, request.baseline, request.zones, target, started_s)
    facts = gathered.facts
    chosen = [one for one in suppressions if BY_ID[one.check] in request.checks]
    findings, unused = suppress(judge(request.checks, facts), chosen, started_s)
    needed = {part for check in request.checks for part in check.needs} | {Part.BASELINE}
    report = Report(
        node=os.uname().nodename,
        time_s=started_s,
        took_s=time.monotonic() - started,
        versions=_versions(),
        findings=arrange(findings),
        state=gathered.state,
        lacks={str(part): why[:2048] for part, why in facts.lacks.items() if part in needed},
        blind=tuple(text[:2048] for text in facts.reach.blind[:256]),
        loss=tuple(text[:2048] for text in facts.reach.loss[:256]),
    )
    return Run(
        report=encodable(report),
        unused=[f"{path}:{one.line}: {one.check} {one.subject}" for one in unused],
        facts=facts,
        bench=_bench(settings.audit.kube_bench),
    )


def _bench(path: str) -> KubeBench | None:
    return read_kube_bench([Path(path)]) if path else read_kube_bench()


def _versions() -> dict[str, str]:
    return {"nodewarden": __version__, "linux": os.uname().release, "nft": installed_version()}
