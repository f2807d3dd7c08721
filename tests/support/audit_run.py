"""Audits the network namespace that it runs in: `python -m tests.support.audit_run [ACCEPTED...]`, findings as JSON.

It asks the checks that need no more than rules and packets: what else a machine has does not belong to a test ruleset.
"""

import sys

import msgspec

from monitor.audit.baseline import Baseline
from monitor.audit.facts import Facts, Part
from monitor.audit.judging import judge
from monitor.audit.kernel.gathering import gather_reach
from monitor.audit.registry import ALL
from monitor.audit.rules.dump import dump_rules
from monitor.audit.rules.gathering import gather_ruleset

_PARTS = {Part.REACH, Part.RULESET, Part.BASELINE}


def main() -> None:
    """Gather, judge, and write the findings."""
    baseline = Baseline(open=dict.fromkeys(sys.argv[1:], ""))
    facts = Facts(reach=gather_reach(), ruleset=gather_ruleset(dump_rules()), baseline=baseline)
    checks = [check for check in ALL if set(check.needs) <= _PARTS]
    sys.stdout.buffer.write(msgspec.json.encode(list(judge(checks, facts))))


if __name__ == "__main__":
    main()
