"""Rulesets of many programs, real sockets and real packets: the audit finds what is open, and nothing else."""

import sys

import msgspec
import pytest

from monitor.audit.findings import Finding
from tests.support.audit_cases import Case, compare, names, read_case
from tests.support.audit_node import audit_node
from tests.support.lab import Host
from tests.support.needs import needs

pytestmark = pytest.mark.kernel


def audit(node: Host, case: Case) -> list[Finding]:
    """Return what an audit of a node finds."""
    done = node.run(sys.executable, "-m", "tests.support.audit_run", *case.accepted)
    return msgspec.json.decode(done.stdout, type=list[Finding])


@pytest.mark.parametrize("name", names())
def test_an_audit_finds_what_is_open_and_nothing_else(name: str) -> None:
    """Every expected finding of a ruleset is there, with its severity and zones, and no other."""
    needs("nft", "ip", "iptables-nft-restore", "iptables-legacy-restore", "ipset")
    case = read_case(name)
    with audit_node(case) as node:
        found = audit(node, case)
    assert str(compare(case, found)) == "", msgspec.json.encode(found).decode()
