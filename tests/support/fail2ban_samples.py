"""fail2ban's sample logs, with the expected result of its filters for each line.

The files of `fail2ban/tests/files/logs` have before a line `# failJSON: {...}` with the expected result, and in between
`# filterOptions:` (the parameters of the filter; a list: each of them in turn) and `# addFILE:` (continue in a file).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_DIRECTIVE = re.compile(r"#+ ?(failJSON|filterOptions|fileOptions|addFILE):(.+)")


class Sample(NamedTuple):
    """A line and the expected result of one filter with these options."""

    place: str
    """File and line, for messages."""
    options: Mapping[str, str]
    line: str
    expected: Mapping[str, Any]

    @property
    def is_journal(self) -> bool:
        """Whether the line has no date, as from the journal."""
        return self.options.get("logtype") == "journal"

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the filter."""
        return {key: str(value) for key, value in self.options.items() if not key.startswith("test.")}


def samples(directory: Path, name: str) -> Iterator[Sample]:
    """Yield the samples of a filter, in order; a line is one sample for each set of options."""
    files = [name]
    for file in files:
        yield from _of_file(directory / file, name, files)


def _of_file(path: Path, name: str, files: list[str]) -> Iterator[Sample]:
    common: dict[str, str] = {}
    options: list[dict[str, str]] = [{}]
    expected: dict[str, Any] | None = None
    for number, raw in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
        line = raw.rstrip("\r")
        directive = _DIRECTIVE.match(line) if expected is None else None
        if directive:
            value = json.loads(directive[2])
            if directive[1] == "failJSON":
                expected = value
            elif directive[1] == "fileOptions":
                common = value
            elif directive[1] == "addFILE":
                files.append(value)
            else:
                wanted = value if isinstance(value, list) else [value]
                options = [o for o in (common | w for w in wanted) if _holds(o.get("test.condition"), name, o)]
            continue
        if expected is None and (line.startswith("#") or not line.strip()):
            continue
        verdict, expected = expected or {}, None
        for chosen in options:
            if _holds(verdict.get("constraint"), name, chosen):
                text = chosen.get("test.prefix-line", "") + line
                yield Sample(f"{path.name}:{number}", chosen, text, verdict)


def _holds(condition: str | None, name: str, opts: Mapping[str, str]) -> bool:
    """Evaluate a condition of the sample files, an expression of `name` and `opts`."""
    return condition is None or bool(eval(condition, {"__builtins__": {}}, {"name": name, "opts": opts}))
