"""What the operator accepts: findings that are suppressed, each for a reason and until a day.

The file is a list in YAML:

    - check: exposed-apiserver
      subject: tcp/6443          # may have * and ?
      reason: the load balancer filters
      until: 2027-06-30

The day in `until` is the last one, in UTC. After it the finding counts again, and says that its suppression ended.
"""

import datetime
import fnmatch
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec
import yaml

from monitor.audit.findings import Finding, State
from monitor.config.document import UnreadableError, parse, position_of, read_bytes
from monitor.config.faults import Fault, InvalidConfigError
from monitor.config.kinds import near
from monitor.config.types import quote
from monitor.model.errors import ConfigError

MAX_SUPPRESSIONS = 1000
_KEYS = ("check", "subject", "reason", "until")
_REQUIRED = ("check", "reason", "until")
_LONGEST = {"check": 64, "subject": 256, "reason": 500, "until": 10}
_DAY_S = 86400.0


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the file."""

    check: str
    subject: str = "*"
    """A pattern of shells: `tcp/10250`, `tcp/30*`, `*`."""
    reason: str
    until_s: float
    """The end of its last day, wall time."""
    line: int = 0

    def matches(self, finding: Finding) -> bool:
        """Whether it is about a finding."""
        return self.check == finding.check and fnmatch.fnmatchcase(finding.subject, self.subject)

    @property
    def day(self) -> str:
        """The last day, as it is written in the file."""
        return datetime.datetime.fromtimestamp(self.until_s - _DAY_S, datetime.UTC).date().isoformat()


def read_suppressions(path: Path, checks: Collection[str]) -> tuple[Suppression, ...]:
    """Read the file; `checks` are the ids that there are. InvalidConfigError (a ConfigError) names every fault.

    TemporaryError if the file cannot be read now.
    """
    if not os.path.lexists(path):
        raise ConfigError(f"{path}: no such file; `--suppressions` and `audit.suppressions` name the file")
    try:
        node = parse(path, read_bytes(path))
    except UnreadableError as error:
        raise InvalidConfigError(error.faults, [path]) from None
    if node is None:
        return ()
    reading = _Reading(path, checks)
    found = tuple(reading.entries(node))
    if reading.faults:
        raise InvalidConfigError(reading.faults, [path])
    return found


class _Reading:
    """Reads the nodes of one file, and collects its faults."""

    def __init__(self, path: Path, checks: Collection[str]) -> None:
        self._path = path
        self._checks = checks
        self.faults: list[Fault] = []

    def entries(self, root: yaml.Node) -> Iterator[Suppression]:
        if not isinstance(root, yaml.SequenceNode):
            self._fault(root, "", "expected a list of suppressions: `- check: ...`")
            return
        if len(root.value) > MAX_SUPPRESSIONS:
            self._fault(root, "", f"{len(root.value)} suppressions are too many: expected at most {MAX_SUPPRESSIONS}")
            return
        for number, node in enumerate(root.value):
            before = len(self.faults)
            values = self._values(node, f"[{number}]")
            until_s = self._until_s(values, f"[{number}]")
            self._known(values, f"[{number}]")
            if len(self.faults) == before:
                texts = {key: one.value for key, one in values.items() if key != "until"}
                yield Suppression(**texts, until_s=until_s, line=position_of(node)[0])

    def _values(self, node: yaml.Node, path: str) -> dict[str, yaml.ScalarNode]:
        """Return the texts of an entry by key."""
        if not isinstance(node, yaml.MappingNode):
            self._fault(node, path, f"expected a mapping with the keys {', '.join(_KEYS)}")
            return {}
        values: dict[str, yaml.ScalarNode] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name not in _KEYS:
                self._fault(key, path, f"unknown key {quote(str(name))}; known keys: {', '.join(_KEYS)}")
            elif name in values:
                self._fault(key, f"{path}.{name}", "this key is given twice")
            elif not isinstance(value, yaml.ScalarNode) or not value.value.strip():
                self._fault(value, f"{path}.{name}", "expected text")
            elif len(value.value) > _LONGEST[name]:
                self._fault(value, f"{path}.{name}", f"longer than {_LONGEST[name]} characters")
            else:
                values[name] = value
        given = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
        for name in _REQUIRED:
            if name not in given:
                self._fault(node, path, f"`{name}` is missing: a suppression has a check, a reason and an end")
        return values

    def _known(self, values: dict[str, yaml.ScalarNode], path: str) -> None:
        check = values.get("check")
        if check is not None and check.value not in self._checks:
            meant = near(check.value, list(self._checks))
            hint = f"; did you mean {meant}?" if meant else ""
            self._fault(check, f"{path}.check", f"there is no check {quote(check.value)}{hint}")

    def _until_s(self, values: dict[str, yaml.ScalarNode], path: str) -> float:
        node = values.get("until")
        if node is None:
            return 0.0
        try:
            day = datetime.datetime.strptime(node.value, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
            return day.timestamp() + _DAY_S
        except (ValueError, OverflowError):
            self._fault(node, f"{path}.until", f"{quote(node.value)} is not a day: expected for example 2027-06-30")
            return 0.0

    def _fault(self, node: yaml.Node, path: str, text: str) -> None:
        self.faults.append(Fault(self._path, *position_of(node), path, text))


def suppress(
    findings: Iterable[Finding], suppressions: Iterable[Suppression], now_s: float
) -> tuple[list[Finding], list[Suppression]]:
    """Return the findings, those that are accepted as suppressed, and the suppressions that match none.

    What is unknown can be accepted as well, for a reason and for a time; it stays no pass.
    """
    entries = tuple(suppressions)
    used: set[Suppression] = set()
    result = []
    for finding in findings:
        matching = [one for one in entries if one.matches(finding)] if finding.state in _ACCEPTABLE else []
        used.update(matching)
        result.append(_apply(finding, matching, now_s))
    return result, [one for one in entries if one not in used]


_ACCEPTABLE = (State.FAIL, State.UNKNOWN)


def _apply(finding: Finding, matching: list[Suppression], now_s: float) -> Finding:
    if not matching:
        return finding
    last = max(matching, key=lambda one: one.until_s)
    if last.until_s > now_s:
        return msgspec.structs.replace(
            finding, state=State.SUPPRESSED, suppressed_for=last.reason, suppressed_until_s=last.until_s
        )
    ended = f"{finding.text} (it was suppressed until {last.day}: {last.reason})"
    return msgspec.structs.replace(finding, text=ended[:2048])
