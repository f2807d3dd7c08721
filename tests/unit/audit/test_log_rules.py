"""Rules that are copied log nothing, and are otherwise the same."""

import pytest

from monitor.audit.kernel.log_rules import without_log, without_xt_log

_NOBODY = "log group 65535"


@pytest.mark.parametrize(
    ("rule", "copied"),
    [
        ('tcp dport 22 log prefix "ssh: " accept', f"tcp dport 22 {_NOBODY} accept"),
        ("log", _NOBODY),
        ("log # handle 4", f"{_NOBODY} # handle 4"),
        ('log prefix "log flags all \\" log " level debug flags all drop', f"{_NOBODY} drop"),
        ("log flags tcp sequence,options flags ip options counter", f"{_NOBODY} counter"),
        ("log flags skuid flags ether drop", f"{_NOBODY} drop"),
        ("log level audit", _NOBODY),
        ('log prefix "a" log prefix "b"', f"{_NOBODY} {_NOBODY}"),
        (
            'limit rate 5/minute burst 5 packets log prefix "x" drop',
            f"limit rate 5/minute burst 5 packets {_NOBODY} drop",
        ),
    ],
)
def test_a_rule_logs_to_nobody(rule: str, copied: str) -> None:
    assert without_log(f"\t\t{rule}\n".encode()).decode() == f"\t\t{copied}\n"


@pytest.mark.parametrize(
    "rule",
    [
        'log prefix "to a group" group 3 snaplen 64',
        "jump log",
        "tcp dport vmap { 22 : goto log, 23 : accept }",
        'comment "log prefix"',
        'iifname "log" accept',
        "ip saddr @log drop",
        "counter name log",
    ],
)
def test_what_is_no_log_of_the_kernel_stays(rule: str) -> None:
    assert without_log(f"\t\t{rule}\n".encode()).decode() == f"\t\t{rule}\n"


def test_rules_of_iptables_log_to_nobody() -> None:
    text = (
        b'-A INPUT -p tcp -j LOG --log-prefix "a -j LOG \\" b" --log-level 7 --log-tcp-options --log-uid\n'
        b"-A INPUT -j LOGDROP\n-A X -j LOG\n"
    )
    nobody = b"-j NFLOG --nflog-group 65535"
    assert without_xt_log(text) == b"-A INPUT -p tcp %b\n-A INPUT -j LOGDROP\n-A X %b\n" % (nobody, nobody)
