"""Lists services that log addresses which anyone can forge: services over UDP, without a handshake."""

import re

_UDP_SERVICES = frozenset(
    {"dnsmasq", "named", "nsd", "unbound"}
    | {"asterisk", "freeswitch", "kamailio", "opensips", "sip"}
    | {"counterstrike", "mumble", "murmur"}
    | {"openvpn", "wireguard"}
    | {"chrony", "chronyd", "freeradius", "ntp", "ntpd", "radius", "snmp", "snmpd", "tftp", "tftpd"}
    | {"portsentry", "scanlogd"}
)
SPOOFABLE_NOTE = "the service uses UDP, where source addresses can be forged: it only leads to a shun"


def is_spoofable(name: str) -> bool:
    """Whether anyone can cause log lines with a forged address, judged by the name of a filter or jail."""
    lower = name.rpartition("/")[2].lower().replace("counter-strike", "counterstrike")
    return not _UDP_SERVICES.isdisjoint(re.split("[^a-z0-9]+", lower))
