"""The result of one audit: what programs read, what is kept on disk, what the daemon counts."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from monitor.audit.baseline import Baseline
from monitor.audit.findings import Finding, Severity, Short, State, Text

VERSION = 1
MAX_BY_CHECK = 256
"""Findings of one check that a report names; the others are one finding that says how many they are."""
MAX_FINDINGS = 16_384
"""Of all checks, in a report that is read."""
MORE = "more"
"""The subject of the finding that stands for those beyond `MAX_BY_CHECK`."""
_ORDER = {State.FAIL: 0, State.UNKNOWN: 1, State.SUPPRESSED: 2, State.PASS: 3}
_DIGEST_DIGITS = 16


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one audit found, the gravest first: all that the daemon reads of a report."""

    version: int = VERSION
    node: Short = ""
    time_s: float = 0.0
    """When it started, wall time."""
    took_s: float = 0.0
    versions: dict[Short, Short] = {}
    """Of `nodewarden`, `linux` and `nft`."""
    findings: Annotated[tuple[Finding, ...], Meta(max_length=MAX_FINDINGS)] = ()
    lacks: dict[Short, Text] = {}
    """Parts of the facts that could not be gathered, and why."""
    blind: Annotated[tuple[Text, ...], Meta(max_length=256)] = ()
    """What decides on packets and could not be copied: see `Reach`."""
    loss: Annotated[tuple[Text, ...], Meta(max_length=256)] = ()

    def of(self, state: State) -> Iterator[Finding]:
        """Yield the findings of a state."""
        return (one for one in self.findings if one.state is state)

    def counts(self, state: State) -> Counter[tuple[str, Severity]]:
        """Return how many findings of a state there are, by check and severity."""
        return Counter((one.check, one.severity) for one in self.of(state))

    def worst(self, severity: Severity) -> list[Finding]:
        """Return what fails or is unknown with this severity or a graver one: what cannot be judged is no pass."""
        states = (State.FAIL, State.UNKNOWN)
        return [one for one in self.findings if one.state in states and one.severity.rank >= severity.rank]

    def digest(self) -> str:
        """Return what tells this result from others: what fails, is unknown or suppressed; neither times nor words.

        Nodes of a fleet that are configured alike have the same one.
        """
        rows = sorted({(one.check, one.subject, str(one.state)) for one in self.findings if one.state != State.PASS})
        return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()[:_DIGEST_DIGITS]


class Report(Result, frozen=True, kw_only=True):
    """A result with what it was judged by."""

    state: Baseline = Baseline()
    """Open ports and rules as they were, for the comparison with the next run."""


def arrange(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in order, at most `MAX_BY_CHECK` of each check; the rest of a check is counted, never dropped."""
    by_check: defaultdict[str, list[Finding]] = defaultdict(list)
    for one in findings:
        by_check[one.check].append(one)
    kept: list[Finding] = []
    for found in by_check.values():
        found.sort(key=_rank)
        kept += found[:MAX_BY_CHECK]
        if rest := found[MAX_BY_CHECK:]:
            kept.append(_more(rest))
    return tuple(sorted(kept, key=_rank))


def _rank(one: Finding) -> tuple[int, int, str, str]:
    return _ORDER[one.state], -one.severity.rank, one.check, one.subject


def _more(rest: list[Finding]) -> Finding:
    """Stand for findings that there is no room for: with the gravest state and severity of them."""
    states = ", ".join(f"{count} {state}" for state, count in Counter(str(one.state) for one in rest).items())
    first = rest[0]
    worst = max((one.severity for one in rest if one.state is first.state), key=lambda severity: severity.rank)
    return Finding(
        check=first.check,
        subject=MORE,
        state=first.state,
        severity=worst,
        text=f"{len(rest)} more findings of this check are not listed ({states})",
    )


def encodable(report: Report) -> Report:
    """Return a report that can be written as JSON: bytes of names that are not UTF-8 become question marks."""
    try:
        msgspec.json.encode(report)
    except UnicodeEncodeError:
        return msgspec.convert(_replaced(msgspec.to_builtins(report)), type=Report)
    return report


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_replaced(key): _replaced(one) for key, one in value.items()}
    return [_replaced(one) for one in value] if isinstance(value, (list, tuple)) else value
