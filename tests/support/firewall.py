"""The firewall of the nodes in tests, demo and benchmarks."""


def logging_firewall(prefix: str) -> str:
    """Return a ruleset that accepts loopback, replies, ICMP and port 80, and logs dropped packets with this prefix."""
    return f"""
table inet firewall {{
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname lo accept
        ct state established,related accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
        tcp dport 80 accept
        log prefix "{prefix}" drop
    }}
}}
"""


def counting_only(prefix: str) -> str:
    """Return a configuration that reads only this firewall's lines, because /dev/kmsg is that of the whole machine."""
    return f"sources: {{kernel_log: {{prefixes: ['{prefix}']}}}}\n"
