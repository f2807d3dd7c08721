"""Whether an update is believed, given the last good copy. Pure."""

from typing import NamedTuple

from monitor.lists.faults import ListCause, ListFault

MIN_DIFFERENCE = 10
"""Fewer networks more or less are no jump: short lists double by one entry."""
MIN_SHARE = 0.001
"""A smaller part of the Internet more is no jump: 0.1 % of IPv4 is a /10."""
MAX_SHARE = 0.25
"""A list that covers more of the Internet than this is no block list."""
_FAMILIES = ("IPv4", "IPv6")


class Extent(NamedTuple):
    """How large a list is."""

    networks: int
    share4: float
    """The share of all addresses of IPv4 that it covers, 0 to 1."""
    share6: float
    """The same for global unicast addresses of IPv6."""


def check_extent(before: Extent | None, now: Extent) -> None:
    """Refuse a list that is half as long as before or twice as long, that covers far more, or a part of the Internet.

    `before` is None for a first copy. Raises ListFault; an operator may accept the update nevertheless.
    """
    known = before or Extent(0, 0.0, 0.0)
    for family, old, new in zip(_FAMILIES, known[1:], now[1:], strict=True):
        if new > MAX_SHARE >= old:
            raise _jump(f"it covers {new:.0%} of all {family} addresses")
    if before is None:
        return
    if abs(now.networks - before.networks) >= MIN_DIFFERENCE:
        if now.networks * 2 <= before.networks:
            raise _jump(f"it shrank from {before.networks} to {now.networks} networks")
        if now.networks >= before.networks * 2:
            raise _jump(f"it grew from {before.networks} to {now.networks} networks")
    for family, old, new in zip(_FAMILIES, before[1:], now[1:], strict=True):
        if new >= 2 * old and new - old >= MIN_SHARE:
            raise _jump(f"it covered {old:.2%} of all {family} addresses, and now {new:.2%}")


def _jump(text: str) -> ListFault:
    return ListFault(
        ListCause.JUMP, f"{text}: look at it (`nodewarden lists test NAME`), then `lists update NAME --accept`"
    )
