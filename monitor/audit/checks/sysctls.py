"""What the checks of sysctls share: values as numbers, and which interfaces count.

An interface's own value and that of `all` combine differently for each setting: the larger one, either, or both
(Documentation/networking/ip-sysctl.rst; IN_DEV_MAXCONF, IN_DEV_ORCONF and IN_DEV_ANDCONF in <linux/inetdevice.h>).
"""

from collections.abc import Callable, Iterator, Sequence

from monitor.audit.check import Check
from monitor.audit.facts import Facts
from monitor.audit.findings import Finding
from monitor.audit.host import Host
from monitor.audit.hosting.kernel_values import dotted

_SHOWN = 8


def number(host: Host, name: str) -> int | None:
    """Return a sysctl's value; None if it does not exist, or is no number."""
    try:
        return int(host.sysctls.get(name, ""))
    except ValueError:
        return None


def outward(host: Host) -> tuple[str, ...]:
    """Return the interfaces that strangers reach: those with a default route, or all if there is none."""
    return tuple(name for name in host.interfaces if name in host.uplinks) or host.interfaces


def combined(host: Host, interface: str, name: str, combine: Callable[[int, int], int]) -> int | None:
    """Return the IPv4 value in force on an interface; None if it is not known."""
    values = (number(host, dotted("ipv4", "all", name)), number(host, dotted("ipv4", interface, name)))
    return None if None in values else combine(*(value or 0 for value in values))


def either(all_value: int, own: int) -> int:
    """Return the value of a setting that is on if it is for all, or for the interface."""
    return int(bool(all_value or own))


def both(all_value: int, own: int) -> int:
    """Return the value of a setting that is on if it is for all and for the interface."""
    return int(bool(all_value and own))


def listed(names: Sequence[str]) -> str:
    """Return names for a text: the first ones, and how many more there are."""
    shown = ", ".join(name[:64] for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def unknown(check: Check, facts: Facts, *names: str) -> Iterator[Finding]:
    """Yield that the check cannot be made, if a sysctl that it needs is not there."""
    missing = [name for name in names if number(facts.host, name) is None]
    if missing:
        yield check.unknown(missing[0], f"{listed(missing)}: it cannot be read, or this kernel lacks it")
