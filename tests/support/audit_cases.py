"""Test rulesets with the findings that an audit must make of them, and of no other port: one YAML file each.

`rules` names files that are loaded one after the other: `.nft` by nft, `.v4` and `.v6` by iptables-nft-restore,
`.legacy4` by iptables-legacy-restore; `services` adds that many services of kube-proxy. `links` are interfaces with an
address, `commands` run before all rules, `listeners` are sockets (process, protocol, address, port). `expected` has
a line for each finding that is no pass: check, subject, state, severity, zones; two spaces or more are between them.

`ufw.*`, `firewalld.nft` and `podman.v4` are what those programs wrote in a namespace; the others follow their layout.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from monitor.audit.findings import Finding, State

DIRECTORY = Path(__file__).parent / "audit_rulesets"


class Row(NamedTuple):
    """A finding, as a line of a table."""

    check: str
    subject: str
    state: str
    severity: str
    zones: str

    def __str__(self) -> str:
        return "  ".join(self)


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node, and what an audit must say of it."""

    title: str
    listeners: str
    expected: str
    rules: tuple[str, ...] = ()
    services: int = 0
    links: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    """What the baseline has: zone, protocol and port."""

    @property
    def rows(self) -> frozenset[Row]:
        """Return the expected findings."""
        return frozenset(Row(*re.split("  +", line)) for line in self.expected.splitlines())


def read_case(name: str) -> Case:
    """Read the case of this name."""
    return msgspec.convert(yaml.safe_load((DIRECTORY / f"{name}.yaml").read_text()), Case)


def names() -> list[str]:
    """Return the names of all cases."""
    return sorted(path.stem for path in DIRECTORY.glob("*.yaml"))


def rows(findings: Iterable[Finding]) -> frozenset[Row]:
    """Return all findings that are no pass, as lines."""
    return frozenset(
        Row(one.check, one.subject or "-", str(one.state), str(one.severity), ",".join(one.zones) or "-")
        for one in findings
        if one.state is not State.PASS
    )


class Comparison(NamedTuple):
    """What an audit made of a case."""

    missed: frozenset[Row]
    invented: frozenset[Row]

    def __str__(self) -> str:
        marked = [f"missed    {row}" for row in sorted(self.missed)] + [
            f"invented  {row}" for row in sorted(self.invented)
        ]
        return "\n".join(marked)


def compare(case: Case, findings: Iterable[Finding]) -> Comparison:
    """Compare findings with what is expected."""
    found = rows(findings)
    return Comparison(case.rows - found, found - case.rows)
