"""What the operator accepted: the open ports and the rules of an earlier audit."""

import msgspec

from monitor.audit.findings import Short, Text, Zone


class RuleLine(msgspec.Struct, frozen=True, array_like=True):
    """A rule or policy of a settled author."""

    chain: Short
    text: Text
    author: Short = ""
    digest: Short = ""
    """Of the whole rule: the text may be cut."""

    def __str__(self) -> str:
        return f"{self.chain}: {self.text}"


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted state, or that of an earlier run; empty without one."""

    version: int = 1
    time_s: float = 0.0
    """When it was gathered, wall time; 0: there is none."""
    node: Short = ""
    open: dict[Short, Text] = {}
    """By `ZONE PROTOCOL/PORT`: who listens, or where it is translated to."""
    undecided: tuple[Short, ...] = ()
    """Ports of that form of which nothing is known."""
    zones: tuple[Zone, ...] = tuple(Zone)
    """From where it was tried."""
    digests: dict[Short, Short] = {}
    """By table, as in `Ruleset`."""
    rules: dict[Short, tuple[RuleLine, ...]] = {}
    """By table: the policies and rules that its digest is of, in order."""
    idle: dict[Short, float] = {}
    """By rule (`FAMILY TABLE CHAIN DIGEST`): since when its counter is known to be 0, wall time."""
    lacks: dict[Short, Text] = {}
    """By part (`reach`, `ruleset`): why nothing of it is here."""
    nft_version: Short = ""
    """The version of nft that printed the rules: another one may print them otherwise."""

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not self.time_s
