"""Numbers that packets and the connection table carry: the one place for all stages, and for the programs in bpf/."""

PROTOCOL_ICMP, PROTOCOL_IGMP, PROTOCOL_IPIP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_DCCP = 1, 2, 4, 6, 17, 33
PROTOCOL_IPV6, PROTOCOL_GRE, PROTOCOL_ESP, PROTOCOL_AH, PROTOCOL_ICMPV6 = 41, 47, 50, 51, 58
PROTOCOL_SCTP, PROTOCOL_UDPLITE = 132, 136
"""IANA, Assigned Internet Protocol Numbers; IPIP and IPV6 are tunnels, which carry an IP packet."""

PROTOCOL_HOPOPTS, PROTOCOL_ROUTING, PROTOCOL_FRAGMENT, PROTOCOL_DSTOPTS = 0, 43, 44, 60
"""Extension headers of IPv6 (RFC 8200, section 4): hop-by-hop and destination options; PROTOCOL_AH is one, too."""

PROTOCOL_NAMES = {
    PROTOCOL_ICMP: "icmp",
    PROTOCOL_IGMP: "igmp",
    PROTOCOL_TCP: "tcp",
    PROTOCOL_UDP: "udp",
    PROTOCOL_ICMPV6: "icmpv6",
    PROTOCOL_SCTP: "sctp",
    PROTOCOL_UDPLITE: "udplite",
}
"""Names for people and metrics; a closed set."""

TRACEROUTE_PORTS = range(33_434, 33_690)
"""traceroute(8) sends UDP to 33434 and up, another port with each packet: so far at most, with 255 hops."""
WELL_KNOWN_PORTS = range(1, 1024)
"""Ports of servers (RFC 6335: system ports); a client picks none of them by itself."""

TCP_FLAG_NAMES = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE")
TCP_FIN, TCP_SYN, TCP_RST, TCP_PSH, TCP_ACK, TCP_URG, TCP_ECE, TCP_CWR, TCP_AE = (
    1 << bit for bit in range(len(TCP_FLAG_NAMES))
)
"""TCP flags in header order, lowest bit first (RFC 9293 section 3.1; AE: RFC 9768)."""

ECHO_REQUESTS = {PROTOCOL_ICMP: 8, PROTOCOL_ICMPV6: 128}
"""The ICMP type of a ping, by protocol (RFC 792, RFC 4443)."""

STATUS_SEEN_REPLY, STATUS_ASSURED, STATUS_SOURCE_NAT, STATUS_DESTINATION_NAT = 1 << 1, 1 << 2, 1 << 4, 1 << 5
"""Bits of a flow's `status` (kernel: enum ip_conntrack_status, linux/netfilter/nf_conntrack_common.h)."""

TCP_SYN_SENT, TCP_SYN_RECV, TCP_ESTABLISHED, TCP_FIN_WAIT, TCP_CLOSE = 1, 2, 3, 4, 8
SCTP_ESTABLISHED, DCCP_OPEN = 4, 4
"""A flow's `state` (linux/netfilter/nf_conntrack_tcp.h, nf_conntrack_sctp.h, nf_conntrack_dccp.h)."""

ESTABLISHED_STATES = {
    PROTOCOL_TCP: frozenset({TCP_ESTABLISHED, TCP_FIN_WAIT}),
    PROTOCOL_SCTP: frozenset({SCTP_ESTABLISHED}),
    PROTOCOL_DCCP: frozenset({DCCP_OPEN}),
}
"""By protocol: a `state` in which the handshake is complete. Other protocols have none, whatever was answered.

TCP goes straight from TCP_SYN_RECV to TCP_FIN_WAIT where a client hangs up at once and its last two packets change
places (seen in one of a thousand connections between processors).
"""
