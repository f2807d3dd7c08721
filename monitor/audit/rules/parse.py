"""Reads what `nft -j list ruleset` prints into a `Ruleset`: typed, bounded, whatever the text holds.

Objects of other kinds (sets' contents, counters, flowtables) are skipped as they are read: a set may hold a million
addresses. The rules of iptables-nft get their text from iptables-nft-save where both list equally many in a chain.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from monitor.audit.findings import RuleRef
from monitor.audit.rules.authors import author_of_chain, author_of_rule
from monitor.audit.rules.digests import digest_tables
from monitor.audit.rules.rendering import render
from monitor.audit.rules.saved import Options, options, saved_rules
from monitor.audit.ruleset import Author, Chain, Map, Rule, Ruleset
from monitor.model.errors import NodewardenError

MAX_RULES = 200_000
_MAX_ELEMENTS = 65_536
"""Elements of a map that are kept."""
_NAME = 256


class MalformedRulesetError(NodewardenError):
    """The text is no ruleset as libnftables-json(5) describes one."""


class _Version(msgspec.Struct):
    version: str = ""


class _Table(msgspec.Struct):
    family: str
    name: str


class _Chain(msgspec.Struct):
    family: str
    table: str
    name: str
    type: str = ""
    hook: str = ""
    prio: int = 0
    policy: str = ""


class _Rule(msgspec.Struct):
    family: str
    table: str
    chain: str
    handle: int = 0
    comment: str = ""
    expr: list[Any] = []


class _Map(msgspec.Struct):
    family: str
    table: str
    name: str
    type: str | list[Any] = ""
    elem: list[Any] = []


class _Item(msgspec.Struct):
    metainfo: _Version | None = None
    table: _Table | None = None
    chain: _Chain | None = None
    rule: _Rule | None = None
    map: _Map | None = None


class _Document(msgspec.Struct):
    nftables: list[_Item]


_DECODER = msgspec.json.Decoder(_Document)


def parse_ruleset(json: bytes, xtables: Mapping[str, bytes] | None = None) -> Ruleset:
    """Return the chains and maps of a ruleset; `xtables`: by family, what iptables-nft-save prints.

    MalformedRulesetError if the JSON is none of a ruleset, or has more than MAX_RULES rules.
    """
    try:
        items = _DECODER.decode(json).nftables
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedRulesetError(f"what nft prints cannot be read: {error}") from error
    chains: dict[tuple[str, str, str], _Chain] = {}
    rules: dict[tuple[str, str, str], list[_Rule]] = {}
    count = 0
    for item in items:
        if (chain := item.chain) is not None:
            chains[chain.family, chain.table, chain.name] = chain
        elif (rule := item.rule) is not None:
            rules.setdefault((rule.family, rule.table, rule.chain), []).append(rule)
            count += 1
    if count > MAX_RULES:
        raise MalformedRulesetError(f"{count} rules: more than {MAX_RULES} are not read")
    for key in rules:
        chains.setdefault(key, _Chain(*key))
    saved = saved_rules(xtables or {})
    found = tuple(_chain(chain, rules.get(key, []), saved.get(key, [])) for key, chain in chains.items())
    return Ruleset(
        chains=found,
        maps=tuple(_map(item.map) for item in items if item.map is not None),
        tables=tuple(f"{item.table.family} {item.table.name}" for item in items if item.table is not None),
        digests=digest_tables(found),
        nft_version=next((item.metainfo.version for item in items if item.metainfo is not None), ""),
    )


def _chain(read: _Chain, rules: list[_Rule], saved: list[str]) -> Chain:
    author = author_of_chain(read.table, read.name)
    texts = saved if len(saved) == len(rules) else [""] * len(rules)
    return Chain(
        family=read.family[:_NAME],
        table=read.table[:_NAME],
        name=read.name[:_NAME],
        author=author,
        type=read.type[:_NAME],
        hook=read.hook[:_NAME],
        priority=read.prio,
        policy=read.policy[:_NAME],
        rules=tuple(_rule(rule, author, text) for rule, text in zip(rules, texts, strict=True)),
    )


def _rule(read: _Rule, chain: Author, text: str) -> Rule:
    xt = list(_xt(read.expr))
    is_opaque = any(name != "comment" for _, name in xt)
    saved = text if xt else ""
    given = options(saved) if saved and (is_opaque or chain is Author.OPERATOR) else Options()
    verdict, packets = _verdict(read.expr)
    if not verdict:
        verdict = _xt_verdict(next((name for kind, name in xt if kind == "target"), ""))
    interfaces = _interfaces(read.expr) if chain is Author.OPERATOR else ()
    target = verdict.partition(" ")[2]
    return Rule(
        ref=RuleRef(
            family=read.family[:_NAME],
            table=read.table[:_NAME],
            chain=read.chain[:_NAME],
            handle=read.handle,
            text=render(read.expr, saved),
        ),
        author=author_of_rule(chain, target, interfaces, read.comment or given.comment),
        expressions=tuple(read.expr),
        is_opaque=is_opaque,
        saved=saved,
        verdict=verdict,
        packets=packets,
    )


def _xt(expressions: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield kind (`match` or `target`) and name of what only iptables knows."""
    for one in expressions:
        if isinstance(one, dict) and isinstance(body := one.get("xt"), dict):
            yield str(body.get("type", "")), str(body.get("name", ""))
        elif isinstance(one, dict) and "xt" in one:  # as of nft 1.0.2 and older: {"xt": null}
            yield "match", "unknown"


def _verdict(expressions: list[Any]) -> tuple[str, int | None]:
    """Return the verdict and the packets of the counter."""
    verdict, packets = "", None
    for one in expressions:
        if not isinstance(one, dict):
            continue
        for kind, body in one.items():
            if kind == "counter" and isinstance(body, dict) and isinstance(counted := body.get("packets"), int):
                packets = counted
            elif kind in ("jump", "goto"):
                verdict = f"{kind} {body.get('target', '') if isinstance(body, dict) else ''}"[:_NAME]
            elif kind in _VERDICTS:
                verdict = kind
    return verdict, packets


_VERDICTS = frozenset(
    {"accept", "drop", "reject", "return", "dnat", "snat", "redirect", "masquerade", "vmap", "queue", "tproxy"}
)
_XT_VERDICTS = {
    "REJECT": "reject",
    "DNAT": "dnat",
    "SNAT": "snat",
    "REDIRECT": "redirect",
    "MASQUERADE": "masquerade",
    "NFQUEUE": "queue",
    "TPROXY": "tproxy",
    "SYNPROXY": "synproxy",
}


def _xt_verdict(target: str) -> str:
    return _XT_VERDICTS.get(target, "")


def _interfaces(expressions: list[Any]) -> Iterator[str]:
    """Yield the names of interfaces that a rule matches."""
    for one in expressions:
        body = one.get("match") if isinstance(one, dict) else None
        left = body.get("left") if isinstance(body, dict) else None
        meta = left.get("meta") if isinstance(left, dict) else None
        key = meta.get("key") if isinstance(meta, dict) else None
        if isinstance(body, dict) and key in ("iifname", "oifname") and isinstance(name := body.get("right"), str):
            yield name


def _map(read: _Map) -> Map:
    pairs = tuple(
        (_key(one[0]), one[1]) for one in read.elem[:_MAX_ELEMENTS] if isinstance(one, list) and len(one) == 2
    )
    types = read.type if isinstance(read.type, list) else [read.type]
    return Map(
        family=read.family[:_NAME],
        table=read.table[:_NAME],
        name=read.name[:_NAME],
        key_types=tuple(str(one)[:_NAME] for one in types[:16]),
        elements=pairs,
        is_complete=len(pairs) == len(read.elem),
    )


def _key(one: Any) -> Any:
    """Return the key of an element, without what nft writes about it (timeout, comment, counter)."""
    inner = one.get("elem") if isinstance(one, dict) else None
    return inner["val"] if isinstance(inner, dict) and "val" in inner else one
