"""When a detector fires, and how much it may remember."""

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """An alert at `maxretry` within `findtime_s`; what is counted depends on the detector."""

    findtime_s: float
    maxretry: int
    max_entries: int = 65_536
    """Most entries remembered: the bound on memory. 0: the detector remembers nothing."""
    ipv6_prefix: int = 64
    """Length in bits (a multiple of 8) of the IPv6 prefixes that count as one source: one host can use a whole /64."""
