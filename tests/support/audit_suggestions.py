"""Audits the network namespace that it runs in, loads what is suggested as rules, and audits again.

`python -m tests.support.audit_suggestions [ACCEPTED...]` writes what there was before and after as JSON.
"""

import subprocess
import sys

import msgspec

from monitor.audit.baseline import Baseline
from monitor.audit.facts import Facts
from monitor.audit.findings import Finding
from monitor.audit.judging import judge
from monitor.audit.kernel.gathering import gather_reach
from monitor.audit.reach import Outcome
from monitor.audit.registry import ALL, BY_ID
from monitor.audit.rules.dump import dump_rules
from monitor.audit.rules.gathering import gather_ruleset
from monitor.audit.suggest.gathering import read_neighbourhood
from monitor.audit.suggest.suggestion import Form, Known, Suggestion
from monitor.audit.suggest.table import suggest
from tests.support.audit_run import _PARTS


class Audit(msgspec.Struct):
    """What an audit found, and what probes reached."""

    findings: list[Finding]
    reached: list[str]


class Trial(msgspec.Struct):
    """What suggestions did."""

    before: Audit
    after: Audit
    suggestions: list[Suggestion]
    refused: list[str]
    """What nft said against one."""


def gather(accepted: list[str]) -> Facts:
    """Gather what rulesets need."""
    baseline = Baseline(open=dict.fromkeys(accepted, ""))
    return Facts(reach=gather_reach(), ruleset=gather_ruleset(dump_rules()), baseline=baseline)


def audit(facts: Facts) -> Audit:
    """Judge."""
    found = list(judge([check for check in ALL if set(check.needs) <= _PARTS], facts))
    reached = [
        f"{one.probe.zone} {one.probe.protocol}/{one.probe.port} {one.probe.address}"
        for one in facts.reach.verdicts
        if one.outcome is Outcome.REACHED
    ]
    return Audit(found, reached)


def load(text: str, *options: str) -> str:
    """Give a text to nft; return what it says against it."""
    done = subprocess.run(["nft", *options, "-f", "-"], input=text, capture_output=True, text=True)
    return f"{text}\n{done.stderr}" if done.returncode else ""


def main() -> None:
    """Audit, repair, audit."""
    facts = gather(sys.argv[1:])
    before = audit(facts)
    known = Known(facts=facts, networks=read_neighbourhood())
    suggestions = list(suggest(before.findings, BY_ID, known))
    texts = [one.text for one in suggestions if one.form is Form.NFT]
    refused = list(filter(None, [load(text, "-c") for text in texts] + [load(text) for text in texts]))
    trial = Trial(before, audit(gather(sys.argv[1:])), suggestions, refused)
    sys.stdout.buffer.write(msgspec.json.encode(trial))


if __name__ == "__main__":
    main()
