"""Which values of sysctls evidence depends on, and what another value keeps from working.

One table for `status`, metrics and `doctor`. A value that hides evidence altogether is a problem; one that only weakens
it is a notice, because other programs may need it (kube-proxy sets nf_conntrack_tcp_be_liberal). Not in the table are
sysctls whose effect shows elsewhere: how full the connection table is (nf_conntrack_max), how many records of the
kernel log were overwritten, limits of inotify. No rate limit of printk applies to logged packets.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from monitor.model.requirements import Part, PartKind, Requirement
from monitor.node.sysctl_files import SysctlFiles

CONNTRACK, KERNEL_LOG, HANDSHAKES, AMPLIFICATION = "conntrack", "kernel_log", "handshakes", "udp_amplification"
"""What needs a value; `handshakes` prove where an attempt is from."""
ACCOUNTING = "net/netfilter/nf_conntrack_acct"
_LOG_ALL = "net/netfilter/nf_log_all_netns"
_TRACKING = "net/netfilter/nf_conntrack_max"
"""There wherever connections can be tracked."""


class Expectation(msgspec.Struct, frozen=True):
    """A sysctl with the values that serve a purpose."""

    name: str
    """Below /proc/sys."""
    needed_by: str
    fine: tuple[str, ...]
    """The first one is what a repair sets."""
    consequence: str
    is_blinding: bool = False
    """Whether another value hides evidence altogether."""
    is_required: bool = False
    """Whether a missing file is as bad as another value."""

    @property
    def dotted(self) -> str:
        """Its name for sysctl(8)."""
        return self.name.replace("/", ".")


EXPECTATIONS = (
    Expectation(
        "net/netfilter/nf_conntrack_events",
        CONNTRACK,
        ("1", "2"),
        "connection tracking reports nothing: scans that no firewall logs, floods and connections are not seen",
        is_blinding=True,
        is_required=True,
    ),
    Expectation(
        "net/netfilter/nf_conntrack_checksum",
        CONNTRACK,
        ("1",),
        "packets with a wrong checksum, which TCP discards, count as evidence: a source can hide its scan behind them",
    ),
    Expectation(
        "net/netfilter/nf_conntrack_tcp_be_liberal",
        HANDSHAKES,
        ("0",),
        "anyone can forge a handshake, so connections prove nothing and their sources are shunned instead of banned",
    ),
    Expectation(
        "net/netfilter/nf_conntrack_tcp_loose",
        HANDSHAKES,
        ("1",),
        "packets of connections from before tracking count as forged, so handshakes prove less for a while; those of a "
        "shunned source are dropped",
    ),
    Expectation(
        "net/ipv4/tcp_syncookies",
        HANDSHAKES,
        ("1", "2"),
        "in a SYN flood TCP drops connection attempts, and while it does handshakes prove nothing: their sources are "
        "shunned instead of banned",
    ),
    Expectation(
        "net/netfilter/nf_conntrack_log_invalid",
        KERNEL_LOG,
        ("0",),
        "the kernel log fills with packets that are no evidence, because no firewall dropped them",
    ),
    Expectation(
        ACCOUNTING,
        AMPLIFICATION,
        ("1",),
        "bytes of connections are not counted, and udp_amplification finds nothing",
    ),
)


class Finding(msgspec.Struct, frozen=True):
    """A sysctl with another value than expected."""

    expectation: Expectation
    value: str
    """Empty: it cannot be read."""

    def __str__(self) -> str:
        is_ = f"is {self.value}" if self.value else "cannot be read, or this kernel lacks it"
        return f"{self.expectation.dotted} {is_}: {self.expectation.consequence}"


def value_files(root: Path) -> SysctlFiles:
    """Return the files of all values of the table; the caller closes them."""
    return SysctlFiles(root, (*(one.name for one in EXPECTATIONS), _LOG_ALL, _TRACKING), seldom=(_LOG_ALL,))


def decoded(texts: Mapping[str, bytes]) -> dict[str, str]:
    """Return values as text."""
    return {name: text.decode(errors="replace").strip() for name, text in texts.items()}


def read_values(root: Path = Path("/")) -> dict[str, str]:
    """Return the values below `root` of all sysctls that exist, by name: a few small reads, without blocking."""
    files = value_files(root)
    try:
        return decoded(files.read())
    finally:
        files.close()


def findings(values: Mapping[str, str], uses: Collection[str]) -> list[Finding]:
    """Return what is not as expected, for what is in use; a sysctl that this kernel lacks seldom matters."""
    return [
        Finding(one, value)
        for one in EXPECTATIONS
        if one.needed_by in uses
        for value in (values.get(one.name, ""),)
        if value not in one.fine and (value or (one.is_required and _TRACKING in values))
    ]


def notices(values: Mapping[str, str], uses: Collection[str]) -> list[str]:
    """Return what weakens evidence."""
    found = [str(one) for one in findings(values, uses) if not one.expectation.is_blinding]
    if KERNEL_LOG in uses and _TRACKING in values and _LOG_ALL not in values:  # only the initial namespace has it
        found.append(
            "this is not the initial network namespace: packets that a firewall logs here are in the kernel log only "
            "if net.netfilter.nf_log_all_netns is 1 there"
        )
    return found


def problems(values: Mapping[str, str], uses: Collection[str]) -> list[str]:
    """Return what hides evidence."""
    return [str(one) for one in findings(values, uses) if one.expectation.is_blinding]


def parts(values: Mapping[str, str], uses: Collection[str]) -> Iterator[Part]:
    """Yield what `doctor` says: the part that is required, and the one that only strengthens evidence."""
    wrong = {one.expectation.name: one for one in findings(values, uses)}
    for name, is_blinding in (("kernel_settings", True), ("kernel_settings_advised", False)):
        expected = [one for one in EXPECTATIONS if one.is_blinding is is_blinding and one.name != ACCOUNTING]
        requirements = [_requirement(one, wrong.get(one.name)) for one in expected if one.needed_by in uses]
        yield Part(name, PartKind.SOURCE, bool(requirements), requirements, is_optional=not is_blinding)


def _requirement(one: Expectation, wrong: Finding | None) -> Requirement:
    setting = f"{one.dotted}={one.fine[0]}"
    missing = f"it is {wrong.value or 'not there'}, so {one.consequence}" if wrong else ""
    return Requirement(
        f"{one.dotted} = {' or '.join(one.fine)}",
        missing,
        f"echo {setting} >> /etc/sysctl.d/60-nodewarden.conf && sysctl --system",
    )
