"""Ports of services by name: as /etc/services has them, and those that bans are limited to without it.

A fresh Debian has no /etc/services, which comes with the package netbase; fail2ban's jails name these services.
"""

import socket

_TCP = {
    "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "http": 80, "kerberos": 88,
    "pop3": 110, "nntp": 119, "imap2": 143, "imap": 143, "ldap": 389, "https": 443, "submissions": 465, "ssmtp": 465,
    "smtps": 465, "urd": 465, "submission": 587, "ldaps": 636, "rsync": 873, "domain-s": 853, "ftps-data": 989,
    "ftps": 990, "imaps": 993, "pop3s": 995, "socks": 1080, "openvpn": 1194, "ms-sql-s": 1433, "mqtt": 1883,
    "nfs": 2049, "mysql": 3306, "ms-wbt-server": 3389, "sieve": 4190, "sip": 5060, "sip-tls": 5061, "xmpp-client": 5222,
    "xmpp-server": 5269, "postgresql": 5432, "redis": 6379, "http-alt": 8080, "webcache": 8080, "mqtt-tls": 8883,
    "git": 9418,
}  # fmt: skip
_UDP = {
    "domain": 53, "tftp": 69, "kerberos": 88, "ntp": 123, "snmp": 161, "ldap": 389, "https": 443, "isakmp": 500,
    "syslog": 514, "openvpn": 1194, "radius": 1812, "nfs": 2049, "ipsec-nat-t": 4500, "sip": 5060, "sip-tls": 5061,
}  # fmt: skip
COMMON = {"tcp": _TCP, "udp": _UDP}
"""By protocol, the ports that Debian's netbase and IANA give common services."""


def service_port(name: str, protocol: str) -> int | None:
    """Return the port of a service: that of /etc/services, else the common one; None if it is not known."""
    try:
        return socket.getservbyname(name, protocol)
    except (OSError, UnicodeError, ValueError):
        return COMMON.get(protocol, {}).get(name)
