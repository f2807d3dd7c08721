"""How the fleet reads: its status, and in what two nodes differ."""

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.cli import show

_MAX_PARTS = 32
"""Entries of the allowlist that a node tells at most."""
_SHOWN = 8


def print_status(result: dict[str, Any]) -> None:
    """Print the fleet for people."""
    fleet = result["fleet"]
    for text, is_wrong in fleet_lines(fleet):
        show.say(text, fg="red" if is_wrong else None)
    for one in fleet["differences"]:
        show.say(f"differs for {show.duration(one['for_s'])}: {one['text']}", fg="yellow")
    show.say()
    show.table(
        ("NODE", "ROLE", "VERSION", "MODE", "SEEN", "LAG", "PUBLISHED", "ADOPTED", "REFUSED", "HELD HERE", "ALSO"),
        [_row(one) for one in result["nodes"]],
    )


def fleet_lines(fleet: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield how the fleet is, in a few lines, each with whether something is wrong."""
    since = show.duration(fleet["changed_s"])
    state = f"connected for {since}" if fleet["is_connected"] else f"its server has not answered for {since}"
    problem = f": {fleet['problem']}" if fleet["problem"] else ""
    yield (
        f"fleet {fleet['name']} at {fleet['url']}: {state}{problem}; {fleet['alive']} of {fleet['nodes']} nodes alive",
        bool(problem) or not fleet["is_connected"],
    )
    held = fleet["held"]
    modes = {
        "enforce": "bans of peers are enforced",
        "observe": "bans of peers are only observed (fleet.mode: observe)",
    }
    taken = modes.get(fleet["mode"], fleet["mode"]) if fleet["adopt"] else "bans of peers are not taken over"
    quorum = f", once {fleet['quorum']} have them" if fleet["adopt"] and fleet["quorum"] > 1 else ""
    own = "own bans are published" if fleet["publish"] else "own bans are not published"
    yield f"{taken}{quorum}; {own}", False
    refused = show.counts(fleet["refused"])
    yield (
        f"published {fleet['published']}, withdrawn {fleet['withdrawn']}, waiting {fleet['waiting']}; "
        f"taken over {fleet['adopted']}, of which held: {held['enforce']} enforced, {held['observe']} observed"
        + (f"; refused: {refused}" if refused else ""),
        False,
    )
    others = f"entries of the fleet's allowlist: {fleet['allowed']}; pardons: {fleet['pardons']}"
    yield f"{others}; clock offset {fleet['clock_offset_s']:+.3f} s", False


def _row(node: dict[str, Any]) -> tuple[str, ...]:
    hello = node["hello"] or {}
    seen = "never" if node["seen_s"] is None else f"{show.duration(node['seen_s'])} ago"
    lag = "" if node["lag_s"] is None else f"{node['lag_s'] * 1000:.0f} ms"
    held = f"{node['enforced']}" + (f" (+{node['observed']} observed)" if node["observed"] else "")
    return (
        node["name"] + (" (this)" if node["is_self"] else ""),
        hello.get("role", ""),
        hello.get("version", ""),
        hello.get("mode", ""),
        seen if node["is_alive"] or node["is_self"] else f"{seen}, silent",
        lag,
        *(str(hello[key]) if hello else "" for key in ("published", "adopted")),
        str(hello.get("refused", 0) if node["is_self"] else node["refused"]),
        "" if node["is_self"] else held,
        "; ".join(_remarks(node, hello)),
    )


def _remarks(node: Mapping[str, Any], hello: Mapping[str, Any]) -> Iterator[str]:
    if node["breaker"]:
        yield f"only observed: {node['breaker']}"
    if hello.get("problems"):
        yield f"{hello['problems']} problem{'s' * (hello['problems'] > 1)}"
    if hello.get("drift"):
        yield f"table changed {hello['drift']} times"
    if hello.get("observed_peers"):
        yield f"distrusts {show.first(hello['observed_peers'])}"


def differences_between(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, str]]:
    """Return in what two nodes differ: subject and text."""
    return list(_differences(one["name"], one["hello"], other["name"], other["hello"]))


def _differences(one: str, mine: dict[str, Any], other: str, theirs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("version", "role", "mode"):
        if mine[key] != theirs[key]:
            yield key, f"{one}: {mine[key] or 'none'}; {other}: {theirs[key] or 'none'}"
    if mine["configuration"] != theirs["configuration"]:
        yield (
            "configuration",
            "they differ; nodes tell a digest only: compare `nodewarden config show --json` of both",
        )
    if mine["allowlist"] != theirs["allowlist"]:
        yield "allowlist", _allowed(one, mine["allowed"], other, theirs["allowed"])
    if mine["audit"] != theirs["audit"]:
        without = [name for name, hello in ((one, mine), (other, theirs)) if not hello["audit"]]
        yield (
            "audit",
            f"{' and '.join(without)} had none" if without else "the results differ; nodes tell a digest only",
        )
    if mine["drift"] != theirs["drift"]:
        yield "drift", f"other programs changed the table of {one} {mine['drift']} times, {other} {theirs['drift']}"


def _allowed(one: str, mine: dict[str, str], other: str, theirs: dict[str, str]) -> str:
    """Compare the parts of two allowlists that nodes tell."""
    parts = []
    for name, here, there in ((one, mine, theirs), (other, theirs, mine)):
        if only := sorted(here.keys() - there.keys()):
            more = f" and {len(only) - _SHOWN} more" if len(only) > _SHOWN else ""
            named = ", ".join(f"{network} ({here[network]})" if here[network] else network for network in only[:_SHOWN])
            parts.append(f"only on {name}: {named}{more}")
    if other_reason := sorted(key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key]):
        parts.append(f"other reasons for {show.first(other_reason)}")
    is_part = max(len(mine), len(theirs)) >= _MAX_PARTS
    if not parts:
        rest = f"nodes tell {_MAX_PARTS} entries at most" if is_part else "the entries that they tell are the same"
        return f"they differ; {rest}: compare `nodewarden allow list` of both"
    return "; ".join(parts) + (f"; of {_MAX_PARTS} entries of each, there may be more" if is_part else "")
