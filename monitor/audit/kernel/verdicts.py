"""What the answer to a question means."""

import re
from collections.abc import Iterable, Iterator

from monitor.audit.kernel.copied import Copy
from monitor.audit.kernel.job import Answer, TraceStep
from monitor.audit.kernel.rules_text import TableText
from monitor.audit.reach import Outcome, Probe, Step, Verdict

_TRANSLATION = re.compile(r"\b(dnat|redirect|tproxy|snat|masquerade)\b")
_REJECTION = re.compile(r"\breject\b")
NOTHING_LISTENS = "nothing listens there"
NO_RULE = "no rule decided: the kernel dropped it for its source or its route"
_DOUBTS = {
    "unbound": "its listener could not be copied",
    "unsure": "no rule decided, and not all of the node could be copied",
}
_ONWARD = ("jump ", "goto ")
_ENDS = ("drop", "queue", "stolen")
_SHOWN = ("accept", *_ENDS, *_ONWARD)
_MAIN = ("input", "forward")
_LATE = "postrouting"
_RANKS = {Outcome.DROPPED: 0, Outcome.REJECTED: 1, Outcome.UNKNOWN: 2, Outcome.REACHED: 3}


def judge_answer(copy: Copy, probe: Probe, answer: Answer, *, has_listener: bool, is_traced: bool = True) -> Verdict:
    """Return the verdict on one probe, for rules that could be copied."""
    path = tuple(_path(copy, answer.steps))
    is_moved = bool(answer.to_address) and (answer.to_address, answer.to_port) != (probe.address, probe.port)
    to_address, to_port = (answer.to_address, answer.to_port) if is_moved else ("", 0)
    outcome, why = _outcome(answer, path, has_listener=has_listener)
    if why == NO_RULE and not is_traced:
        why = ""
    return Verdict(probe=probe, outcome=outcome, to_address=to_address, to_port=to_port, path=path, why=why)


def _outcome(answer: Answer, path: tuple[Step, ...], *, has_listener: bool) -> tuple[Outcome, str]:
    last = path[-1].verdict if path else ""
    if answer.kind in ("answered", "arrived", "left"):
        return Outcome.REACHED, ""
    if answer.kind in _DOUBTS:
        return Outcome.UNKNOWN, _DOUBTS[answer.kind]
    if last == "queue":
        return Outcome.UNKNOWN, "a program decides on it (nfqueue), which the copy does not have"
    if answer.kind in ("refused", "reset"):
        is_rule = last in ("drop", "reject")
        return Outcome.REJECTED, "" if is_rule or has_listener else NOTHING_LISTENS
    is_dropped = last in ("drop", "policy drop", "reject")
    return Outcome.DROPPED, "" if is_dropped else NO_RULE


def _path(copy: Copy, steps: Iterable[TraceStep]) -> Iterator[Step]:
    """Yield what decided in each base chain, with the jumps that lead there; chains that were left again are left out.

    Policies that accept are only shown where the packet is meant for the node or through it.
    """
    hook = ""
    pending: list[Step] = []
    for step in steps:
        table = copy.find(step.family, step.table)
        if table is None or not step.verdict.startswith(_SHOWN):
            continue
        if (chain := table.chains.get(step.chain)) and chain.hook:
            hook = chain.hook
            pending.clear()
        while pending and pending[-1].verdict.partition(" ")[2] != step.chain:
            pending.pop()
        shown = _step(table, step, hook)
        if step.verdict.startswith(_ONWARD):
            pending.append(shown)
        elif hook != _LATE or step.verdict in _ENDS:
            if shown.verdict != "policy accept" or hook in _MAIN:
                yield from (*pending, shown)
            pending.clear()


def _step(table: TableText, step: TraceStep, hook: str) -> Step:
    rule = table.rule(step.chain, step.position)
    verdict = step.verdict
    if step.position == -1:
        verdict = f"policy {verdict}"
    elif verdict == "accept" and (found := _TRANSLATION.search(rule.text)):
        verdict = found[1]
    elif verdict == "drop" and _REJECTION.search(rule.text):
        verdict = "reject"
    return Step(rule=rule, verdict=verdict, hook=hook)


def most_open(first: Verdict, second: Verdict) -> Verdict:
    """Return of two verdicts on the same probe that which lets more through."""
    return second if _RANKS[second.outcome] > _RANKS[first.outcome] else first
