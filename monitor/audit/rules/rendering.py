"""Writes rules in the syntax of nft(8), short enough to read, from what libnftables-json(5) gives.

The text is for people. What it leaves out or cannot write is not lost: rules are compared by their expressions.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

LIMIT = 512
_LIMIT_DEPTH = 6
_SHOWN = 12
"""Elements of a set that are written."""
_PLAIN = ("accept", "drop", "return", "continue", "notrack", "masquerade", "redirect", "queue", "counter")


def render(expressions: Iterable[Any], saved: str = "") -> str:
    """Return a rule as text of at most LIMIT characters; `saved`: as iptables-save writes it, which wins."""
    text = saved or " ".join(filter(None, (_statement(one) for one in expressions)))
    return text if len(text) <= LIMIT else f"{text[: LIMIT - 1]}…"


def _statement(one: Any) -> str:
    if not isinstance(one, dict) or len(one) != 1:
        return _unknown(one)
    kind, body = next(iter(one.items()))
    if kind == "match" and isinstance(body, dict):
        operator = body.get("op", "==")
        between = " " if operator in ("==", "in") else f" {operator} "
        return f"{value(body.get('left'))}{between}{value(body.get('right'))}"
    if kind == "xt" and isinstance(body, dict):
        return "" if body.get("name") == "comment" else f"xt {body.get('type', '')} {body.get('name', '')}"
    if kind in ("jump", "goto") and isinstance(body, dict):
        return f"{kind} {body.get('target', '')}"
    if kind in _PLAIN and (body is None or kind == "counter"):
        return "" if kind == "counter" else kind
    writer = {
        "reject": _reject,
        "dnat": _nat,
        "snat": _nat,
        "redirect": _nat,
        "vmap": _vmap,
        "mangle": _mangle,
        "limit": _limit,
        "log": _log,
        "set": _set,
    }
    if (write := writer.get(kind)) and (isinstance(body, dict) or body is None):
        return write(kind, body or {})
    return _unknown(one)


def _reject(kind: str, body: dict[str, Any]) -> str:
    return f"{kind} with {body['type']} {value(body.get('expr'))}".rstrip() if body.get("type") else kind


def _nat(kind: str, body: dict[str, Any]) -> str:
    address = value(body["addr"]) if "addr" in body else ""
    port = f":{value(body['port'])}" if "port" in body else ""
    return f"{kind} to {address}{port}" if address or port else kind


def _vmap(_: str, body: dict[str, Any]) -> str:
    return f"{value(body.get('key'))} vmap {value(body.get('data'))}"


def _mangle(_: str, body: dict[str, Any]) -> str:
    return f"{value(body.get('key'))} set {value(body.get('value'))}"


def _limit(_: str, body: dict[str, Any]) -> str:
    over = "over " if body.get("inv") else ""
    return f"limit rate {over}{body.get('rate', '')}/{body.get('per', 'second')}"


def _log(_: str, body: dict[str, Any]) -> str:
    return f'log prefix "{body["prefix"]}"' if "prefix" in body else "log"


def _set(_: str, body: dict[str, Any]) -> str:
    return f"{body.get('op', '')} {body.get('set', '')} {{ {value(body.get('elem'))} }}"


def value(one: Any, depth: int = 0) -> str:
    """Return an expression as text."""
    if depth > _LIMIT_DEPTH:
        return "…"
    if isinstance(one, list):
        return ", ".join(value(item, depth + 1) for item in one[:_SHOWN])
    if not isinstance(one, dict):
        return '""' if one == "" else str(one)
    if len(one) != 1:
        return _unknown(one)
    kind, body = next(iter(one.items()))
    if kind == "elem" and isinstance(body, dict):
        return value(body.get("val"), depth + 1)
    if isinstance(body, dict):
        return _of_fields(kind, body, depth)
    if isinstance(body, list):
        return _of_items(kind, body, depth)
    return kind if body is None else f"{kind} {body}"


def _of_fields(kind: str, body: dict[str, Any], depth: int) -> str:
    if kind == "payload":
        if "field" in body:
            return f"{body.get('protocol', '')} {body['field']}"
        return f"@{body.get('base', '')},{body.get('offset', '')},{body.get('len', '')}"
    if kind == "prefix":
        return f"{value(body.get('addr'), depth + 1)}/{body.get('len', '')}"
    if kind in ("jump", "goto"):
        return f"{kind} {body.get('target', '')}"
    if kind == "meta":
        key = str(body.get("key", ""))
        return key if key in ("iif", "oif", "iifname", "oifname") else f"meta {key}"
    if kind == "ct":
        return f"ct {body.get('dir', '')} {body.get('key', '')}".replace("  ", " ")
    if kind == "map":
        return f"{value(body.get('key'), depth + 1)} map {value(body.get('data'), depth + 1)}"
    if kind == "fib":
        return f"fib {value(body.get('flags'), depth + 1)} {body.get('result', '')}"
    return _unknown({kind: body})


def _of_items(kind: str, body: list[Any], depth: int) -> str:
    shown = [_item(kind, item, depth + 1) for item in body[:_SHOWN]]
    if kind == "set":
        more = [f"… {len(body) - _SHOWN} more"] if len(body) > _SHOWN else []
        return f"{{ {', '.join(shown + more)} }}"
    if kind == "range" and len(shown) == 2:
        return "-".join(shown)
    if kind == "concat":
        return " . ".join(shown)
    if kind in ("&", "|", "^", "<<", ">>"):
        return f" {kind} ".join(shown)
    return _unknown({kind: body})


def _item(kind: str, one: Any, depth: int) -> str:
    if kind == "set" and isinstance(one, list) and len(one) == 2:  # of a map
        return f"{value(one[0], depth)} : {value(one[1], depth)}"
    return value(one, depth)


def _unknown(one: Any) -> str:
    text = msgspec.json.encode(one).decode("utf-8", "replace")
    return text if len(text) <= 64 else f"{text[:63]}…"
