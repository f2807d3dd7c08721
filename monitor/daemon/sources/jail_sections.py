"""What fail2ban's jails say, within our own limits. Pure."""

import ipaddress
from typing import TYPE_CHECKING

from monitor.detectors.failures import FailuresSettings
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import Mode

if TYPE_CHECKING:
    from monitor.filters.fail2ban.jails import Jail

_LIMITS_S = {"findtime_s": (1.0, 7 * 86400.0), "bantime_s": (1.0, 365 * 86400.0)}
_MAX_RETRY = 10_000


def jail_section(jail: "Jail", mode: Mode) -> FailuresSettings:
    """Return a jail's thresholds, within our own limits."""
    return FailuresSettings(
        mode=mode,
        filter=jail.reference,
        maxretry=max(1, min(jail.maxretry, _MAX_RETRY)),
        findtime_s=_within("findtime_s", jail.findtime_s),
        bantime_s=_within("bantime_s", jail.bantime_s),
        ban_ports=jail.ports,
    )


def _within(name: str, value_s: float) -> float:
    low_s, high_s = _LIMITS_S[name]
    return max(low_s, min(value_s, high_s))


def jail_network(text: str) -> Network:
    """Read an address or network in fail2ban's notations: host bits may be set, masks be written out."""
    try:
        return parse_network(text)
    except ValueError:
        return parse_network(str(ipaddress.ip_network(text, strict=False)))
