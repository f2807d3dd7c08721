"""What the operator accepted: the open ports and the rules of an earlier audit."""

import msgspec


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted state; empty without one."""

    version: int = 1
    time_s: float = 0.0
    node: str = ""
    open: dict[str, str] = {}
    """By `ZONE PROTOCOL/PORT`: who listens, or where it is translated to."""
    digests: dict[str, str] = {}
    """By table, as in `Ruleset`."""
