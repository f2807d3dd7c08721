"""Rules that match what the copy has otherwise: the kind of an interface, a socket.

Interfaces of the copy are all veths, and its sockets are of this process: in no control group of the node, without
mark, not transparent.
"""

import re
from collections.abc import Iterator

from monitor.audit.kernel.copied import Copy
from monitor.audit.kernel.job import Answer
from monitor.audit.reach import Probe

_UNLIKE = re.compile(rb"\b(?:socket (?:cgroupv2|mark|transparent)|iifkind|iiftype)\b|\bxt match .?cgroup\b")
_PORT = re.compile(rb"\bdport (\d+)\b(?!-)")
_MAX_CHARS = 120


def unlike(copy: Copy, probe: Probe, answer: Answer, *, is_traced: bool) -> str:
    """Return why a verdict cannot be relied on: a rule that the probe met and the copy cannot follow; else empty."""
    ports = {probe.port, answer.to_port}
    for line in _met(copy, answer) if is_traced else _all(copy):
        if _UNLIKE.search(line) and not ports.isdisjoint({int(one) for one in _PORT.findall(line)} or ports):
            text = line.decode(errors="replace").partition(" # handle")[0].strip()[:_MAX_CHARS]
            return f"a rule asks for what the copy has otherwise: {text}"
    return ""


def _met(copy: Copy, answer: Answer) -> Iterator[bytes]:
    """Yield the rules of the chains that a packet was in, up to those that decided."""
    ends: dict[tuple[str, str, str], int | None] = {}
    for step in answer.steps:
        kind, _, target = step.verdict.partition(" ")
        if kind in ("jump", "goto"):
            ends.setdefault((step.family, step.table, target), None)
        place = step.family, step.table, step.chain
        is_end = kind in ("accept", "drop", "goto") and step.position >= 0
        ends[place] = step.position + 1 if is_end else ends.get(place)
    for (family, name, chain_name), end in ends.items():
        table = copy.find(family, name)
        if table and (chain := table.chains.get(chain_name)):
            yield from chain.rules[:end]


def _all(copy: Copy) -> Iterator[bytes]:
    for table in copy.tables:
        for chain in table.chains.values():
            yield from chain.rules
