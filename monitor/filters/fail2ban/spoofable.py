"""Why imported filters prove nothing; services over UDP, where addresses can be forged, are named apart."""

import re

from monitor.filters.evidence import EvidenceRule

_UDP_SERVICES = frozenset(
    {"dnsmasq", "named", "nsd", "unbound"}
    | {"asterisk", "freeswitch", "kamailio", "opensips", "sip"}
    | {"counterstrike", "mumble", "murmur"}
    | {"openvpn", "wireguard"}
    | {"chrony", "chronyd", "freeradius", "ntp", "ntpd", "radius", "snmp", "snmpd", "tftp", "tftpd"}
    | {"portsentry", "scanlogd"}
)
IMPORTED = EvidenceRule(doubt="fail2ban's filters are not vetted")
UDP = EvidenceRule(doubt="the service uses UDP, where addresses can be forged")


def is_spoofable(name: str) -> bool:
    """Whether anyone can cause log lines with a forged address, judged by the name of a filter or jail."""
    lower = name.rpartition("/")[2].lower().replace("counter-strike", "counterstrike")
    return not _UDP_SERVICES.isdisjoint(re.split("[^a-z0-9]+", lower))
