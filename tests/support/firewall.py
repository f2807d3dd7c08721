"""The firewall that tests, demo and benchmarks put in front of a node."""


def logging_firewall(prefix: str) -> str:
    """Return a ruleset that lets in loopback, answers, ICMP and port 80, and logs with this prefix what it drops."""
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
    """Return configuration: only this firewall's lines count, since /dev/kmsg belongs to the whole machine."""
    return f"sources: {{kernel_log: {{prefixes: ['{prefix}']}}}}\n"
