"""Finds rules of other programs that log too little, or what they then accept: read by netlink, never changed.

iptables-nft and nft write the same expressions, so ufw, firewalld and rules by hand are read alike. iptables-legacy is
not visible here; for ufw its own configuration tells. Numbers are those of linux/netfilter/nf_tables.h.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from monitor.enforcers.netlink import NLM_F_REQUEST, NetlinkRequest, attributes, nfgen_header
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables.ruleset import TABLE
from monitor.files.changes import read_bounded
from monitor.model.errors import MalformedRecord
from monitor.model.printable import printable

UFW = Path("/etc/ufw/ufw.conf")
_MAX_FILE_BYTES = 65536
_GET_CHAIN, _GET_RULE = 10 << 8 | 4, 10 << 8 | 7
_READ_S, _MAX_RULES = 0.5, 50_000
_SCAN_S, _LINES = 10.0, 30
"""A scan takes some seconds, and must leave twice as many lines as port_scan counts, as others are logged too."""
_INPUT_HOOKS = (0, 1, 2)  # NF_INET_PRE_ROUTING, LOCAL_IN, FORWARD
_ACCEPTS = 1  # NF_ACCEPT
_VERDICTS = (b"immediate", b"reject", b"queue", b"tproxy", b"redir", b"dnat", b"synproxy")
_LOG_TARGET = b"LOG"
_SHOWN = 3
_FASTER = (
    "have it log all that is dropped, or at least 1,000 packets per second: see `Give it evidence` in "
    "/usr/share/doc/nodewarden/docs/operations.md"
)


class LogRule(msgspec.Struct, frozen=True):
    """A rule that writes to the kernel log."""

    where: str
    """Table and chain."""
    prefix: str
    lines: float
    """How many lines it can write during a scan; infinite without a limit."""
    limit: str
    is_last: bool
    """Whether it is the last rule of a base chain that accepts by default, and does not decide itself."""


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with how the firewall logs, and how to change that."""

    text: str
    repair: str


def examine(prefixes: Sequence[str], ignored: Sequence[str], ufw: Path = UFW) -> list[Finding]:
    """Read the rules of this thread's network namespace and judge them; up to half a second.

    `prefixes` and `ignored` are those of the kernel log. OSError or an error of ours if the kernel does not answer.
    """
    rules = [rule for rule in read_log_rules() if _counts(rule.prefix, prefixes, ignored)]
    return judge(rules, (read_bounded(ufw, _MAX_FILE_BYTES) or b"").decode(errors="replace"))


def judge(rules: Sequence[LogRule], ufw: str = "") -> list[Finding]:
    """Return what is wrong with these rules; `ufw` is the text of its ufw.conf."""
    found = []
    if not any(rule.lines >= _LINES and not rule.is_last for rule in rules):
        slow = ", ".join(f"{rule.where} ({rule.limit})" for rule in rules if rule.lines < _LINES)
        if not slow and (level := _ufw_level(ufw)) in ("low", "medium"):
            slow = f"ufw (`logging {level}`: 3 per minute)"
        if slow:
            found.append(Finding(f"rules that log dropped packets are limited so that no scan shows: {slow}", _FASTER))
    if last := [rule for rule in rules if rule.is_last]:
        shown = ", ".join(rule.where for rule in last[:_SHOWN])
        text = f"a rule logs what its chain then accepts, which is no evidence: {shown}"
        found.append(Finding(text, "have the rule, or one after it, drop the packet; or let the policy be drop"))
    return found


def read_log_rules() -> list[LogRule]:
    """Return the rules of other programs that log; not all where there are very many."""
    link = NetlinkSocket()
    try:
        accepting = _accepting_chains(link)
    finally:
        link.close()
    link = NetlinkSocket()  # of its own: a listing that was not read to the end goes on in the one before
    try:
        return _rules(link, accepting)
    finally:
        link.close()


def _accepting_chains(link: NetlinkSocket) -> set[bytes]:
    """Return family, table and name of the base chains of arriving packets that accept by default."""
    found = set()
    for reply in link.dump(NetlinkRequest(_GET_CHAIN, NLM_F_REQUEST, nfgen_header(0)), must_be_exact=False):
        fields = dict(attributes(reply.body, 4))
        hook = dict(attributes(fields.get(4, b"")))  # NFTA_CHAIN_HOOK: NFTA_HOOK_HOOKNUM
        policy = fields.get(5)  # NFTA_CHAIN_POLICY, of base chains only
        if hook and policy and int.from_bytes(policy) == _ACCEPTS and int.from_bytes(hook.get(1, b"")) in _INPUT_HOOKS:
            found.add(reply.body[:1] + fields.get(1, b"") + fields.get(3, b""))
    return found


def _rules(link: NetlinkSocket, accepting: set[bytes]) -> list[LogRule]:
    until_s = time.monotonic() + _READ_S
    rules: list[LogRule] = []
    before, pending = b"", None
    ours = TABLE.encode() + b"\0"
    listing = link.dump(NetlinkRequest(_GET_RULE, NLM_F_REQUEST, nfgen_header(0)), must_be_exact=False)
    for number, reply in enumerate(listing):
        if number >= _MAX_RULES or time.monotonic() > until_s:
            break
        table, chain, expressions = _rule_of(reply.body)
        key = reply.body[:1] + table + chain
        if pending:  # the last rule so far that logs: it is the last of its chain if another chain follows
            rules.append(msgspec.structs.replace(pending, is_last=pending.is_last and key != before))
        before = key
        pending = None if table == ours else log_rule(table, chain, expressions, is_accepting=key in accepting)
    return [*rules, *([pending] if pending else ())]


def _rule_of(body: bytes) -> tuple[bytes, bytes, bytes]:
    fields = dict(attributes(body, 4))
    return fields.get(1, b""), fields.get(2, b""), fields.get(4, b"")  # NFTA_RULE_TABLE, CHAIN, EXPRESSIONS


def log_rule(table: bytes, chain: bytes, expressions: bytes, *, is_accepting: bool) -> LogRule | None:
    """Return what a rule logs to the kernel log; None if it does not, or is not understood."""
    if b"log\0" not in expressions and b"LOG\0" not in expressions:
        return None
    prefix, rate, is_final = None, None, False
    try:
        for name, data in _expressions(expressions):
            if name == b"limit":
                rate = _limit(data) or rate
            elif name == b"log" and 1 not in data:  # NFTA_LOG_GROUP: not the kernel log
                prefix = data.get(2, b"")
            elif name == b"target":
                is_final |= _name(data) != _LOG_TARGET
                prefix = data.get(3, b"")[2:] if _name(data) == _LOG_TARGET else prefix  # struct xt_log_info
            is_final |= name in _VERDICTS
    except MalformedRecord:
        return None
    if prefix is None:
        return None
    per_s, burst, text = rate or (float("inf"), 0, "no limit")
    where = printable(b" ".join(part.rstrip(b"\0") for part in (table, chain)).decode("utf-8", "replace"))
    shown = printable(prefix.split(b"\0")[0].decode("utf-8", "replace"))
    return LogRule(where, shown, burst + _SCAN_S * per_s, text, is_accepting and not is_final)


def _expressions(listed: bytes) -> Iterator[tuple[bytes, dict[int, bytes]]]:
    """Yield name and attributes of each expression (NFTA_LIST_ELEM: NFTA_EXPR_NAME, NFTA_EXPR_DATA)."""
    for _, element in attributes(listed):
        fields = dict(attributes(element))
        yield fields.get(1, b"").rstrip(b"\0"), dict(attributes(fields.get(2, b"")))


def _limit(data: dict[int, bytes]) -> tuple[float, int, str] | None:
    """Return packets per second, burst and text of a limit; None for one of bytes, or that matches beyond it."""
    rate, unit_s, burst = (int.from_bytes(data.get(number, b"")) for number in (1, 2, 3))
    if int.from_bytes(data.get(4, b"")) or int.from_bytes(data.get(5, b"")) or not unit_s:
        return None
    return rate / unit_s, burst, f"{rate} per {_UNITS.get(unit_s, f'{unit_s} s')}, burst {burst}"


_UNITS = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}


def _name(data: dict[int, bytes]) -> bytes:
    return data.get(1, b"").rstrip(b"\0")  # NFTA_TARGET_NAME


def _counts(prefix: str, prefixes: Sequence[str], ignored: Iterable[str]) -> bool:
    """Whether the kernel log source counts lines with this prefix; a rule without one may be any."""
    if prefixes and not prefix.startswith(tuple(prefixes)):
        return False
    return not any(word.casefold() in prefix.casefold() for word in ignored)


def _ufw_level(text: str) -> str:
    """Return the log level of ufw if it is on; empty otherwise."""
    pairs = (line.partition("=") for line in text.splitlines())
    values = {key.strip(): value.strip().strip("\"'").lower() for key, _, value in pairs}
    return values.get("LOGLEVEL", "") if values.get("ENABLED") == "yes" else ""
