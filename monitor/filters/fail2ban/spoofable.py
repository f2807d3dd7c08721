"""Which services log addresses that anybody can forge: those reached by UDP, without a handshake first."""

import re

_WORDS = frozenset(
    {"dnsmasq", "named", "nsd", "unbound"}
    | {"asterisk", "freeswitch", "kamailio", "opensips", "sip"}
    | {"counterstrike", "mumble", "murmur"}
    | {"openvpn", "wireguard"}
    | {"chrony", "chronyd", "freeradius", "ntp", "ntpd", "radius", "snmp", "snmpd", "tftp", "tftpd"}
    | {"portsentry", "scanlogd"}
)
SPOOFABLE_NOTE = "the service answers UDP, where addresses can be forged: it only leads to a shun"


def is_spoofable(name: str) -> bool:
    """Tell from the name of a filter or jail whether others can cause its lines in the name of any address."""
    lower = name.rpartition("/")[2].lower().replace("counter-strike", "counterstrike")
    return not _WORDS.isdisjoint(re.split("[^a-z0-9]+", lower))
