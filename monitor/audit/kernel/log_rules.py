"""Takes the logging out of rules that are copied.

A copied rule that logs would write into the log of the kernel, where `net.netfilter.nf_log_all_netns` is set, that
neighbours tried every port of the node, and a program that reads that log would ban them. The rules stay, and log to a
group of nfnetlink_log in the throw-away namespace, where nobody listens.
"""

import re

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s"]+|\s+')
_NAMES = frozenset(
    (b"jump", b"goto", b"chain", b"table", b"name", b"set", b"map", b"inet", b"ip", b"ip6", b"netdev", b"arp")
)
"""After these words, `log` is a name."""
_WITH_VALUE = frozenset((b"prefix", b"level"))
_WITH_FLAGS = frozenset((b"ip", b"tcp"))
_NOBODY = b"log group 65535"
_XT_LOG = re.compile(
    rb'-j LOG(?=\s|$)(?: --log-(?:prefix|level) (?:"(?:[^"\\]|\\.)*"|\S+)| --log-(?:tcp|ip|uid|macdecode)\S*)*',
    re.MULTILINE,
)


def without_log(text: bytes) -> bytes:
    """Return rules as nft(8) lists them, with logs that nobody reads."""
    lines = text.split(b"\n")
    return b"\n".join([_line(line) if b"log" in line else line for line in lines])


def without_xt_log(text: bytes) -> bytes:
    """Return rules as iptables-save(8) lists them, with logs that nobody reads."""
    return _XT_LOG.sub(b"-j NFLOG --nflog-group 65535", text)


def _line(line: bytes) -> bytes:
    tokens = _TOKEN.findall(line)
    words = [number for number, token in enumerate(tokens) if not token.isspace()]
    kept: list[bytes] = []
    at = 0
    for place, number in enumerate(words):
        if number < at or tokens[number] != b"log" or (place and tokens[words[place - 1]] in _NAMES):
            continue
        end = _end(tokens, words, place)
        if end is None:
            continue
        kept += [*tokens[at:number], _NOBODY]
        at = end
    return b"".join([*kept, *tokens[at:]])


def _end(tokens: list[bytes], words: list[int], place: int) -> int | None:
    """Return where a log statement ends; None if it goes to a group already."""
    place += 1
    while place < len(words):
        word = tokens[words[place]]
        if word in (b"group", b"snaplen", b"queue-threshold"):
            return None
        if word in _WITH_VALUE:
            place += 2
        elif word == b"flags":
            place += 3 if place + 1 < len(words) and tokens[words[place + 1]] in _WITH_FLAGS else 2
        else:
            break
    return words[place - 1] + 1 if place - 1 < len(words) else len(tokens)
