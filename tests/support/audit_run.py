"""Audits the network namespace that it runs in: `python -m tests.support.audit_run [ACCEPTED...]`, findings as JSON.

It asks the checks that need no more than rules and packets: what files of the machine say, and what was there before,
does not belong to a test ruleset.
"""

import sys

import msgspec

from monitor.audit.baseline import Baseline
from monitor.audit.facts import Facts, Part
from monitor.audit.hosting.gathering import gather_host
from monitor.audit.judging import judge
from monitor.audit.kernel.gathering import gather_reach
from monitor.audit.registry import ALL
from monitor.audit.rules.dump import dump_rules
from monitor.audit.rules.gathering import gather_ruleset

_PARTS = {Part.REACH, Part.RULESET}
_NOT_ASKED = {"never-hit", "not-persistent", "own-table", "tables-drift"}


def main() -> None:
    """Gather, judge, and write the findings."""
    baseline = Baseline(open=dict.fromkeys(sys.argv[1:], ""))
    ruleset = gather_ruleset(dump_rules())
    facts = Facts(reach=gather_reach(), ruleset=ruleset, host=gather_host(), baseline=baseline)
    checks = [check for check in ALL if set(check.needs) <= _PARTS and check.id not in _NOT_ASKED]
    sys.stdout.buffer.write(msgspec.json.encode(list(judge(checks, facts))))


if __name__ == "__main__":
    main()
