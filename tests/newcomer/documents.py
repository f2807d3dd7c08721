"""Commands and settings that documents show, in the order in which a reader comes to them. Pure.

Shell commands are the lines of blocks that are indented by four blanks or fenced as `sh`, and the lines after `$ ` in
blocks fenced as `console`. A block fenced as `yaml` is a configuration of nodewarden. Comments in the Markdown, which
a reader of the page does not see, say what is special:

    <!-- not run: REASON -->    before a block: it cannot run on a fresh machine
    <!-- lab: NAME -->          something happens here (`tests/newcomer/site.py`, `demo/transcript.py`)

A command whose own comment says "until Ctrl-C" runs until it is interrupted.
"""

import re
from collections.abc import Iterator
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What a step is."""

    COMMAND = "command"
    SETTINGS = "settings"
    SCENE = "scene"


class Step(msgspec.Struct, frozen=True):
    """One thing to do."""

    document: str
    line: int
    section: str
    """The heading above it, without marks."""
    kind: Kind
    text: str
    reason: str = ""
    """Why it is not run; empty if it is."""

    @property
    def is_endless(self) -> bool:
        """Whether it runs until it is interrupted."""
        return self.kind is Kind.COMMAND and "until Ctrl-C" in self.text

    @property
    def place(self) -> str:
        """Document and line."""
        return f"{self.document}:{self.line}"


_MARK = re.compile(r"<!-- (?P<what>lab|not run): (?P<text>[^>]+?) -->")
_HEADING = re.compile(r"#+ (?P<title>.+)")
_INDENT = "    "
_TAGS = frozenset({"sh", "console", "yaml"})


def steps(document: str, text: str) -> Iterator[Step]:
    """Yield all steps of a document; ValueError for a block of which nobody says what it is."""
    lines = text.splitlines()
    section, reason, number = "", "", 0
    while number < len(lines):
        line = lines[number]
        if heading := _HEADING.fullmatch(line):
            section = heading["title"]
        elif mark := _MARK.fullmatch(line):
            if mark["what"] == "lab":
                yield Step(document, number + 1, section, Kind.SCENE, mark["text"])
            else:
                reason = mark["text"]
        elif line.startswith("```"):
            end = lines.index("```", number + 1)
            block = _fenced(line.removeprefix("```"), lines[number + 1 : end], f"{document}:{number + 1}")
            for at, kind, command in block:
                yield Step(document, number + 2 + at, section, kind, command, reason)
            reason, number = "", end
        elif line.startswith(_INDENT) and (number == 0 or not lines[number - 1].strip()):
            end = next((at for at in range(number, len(lines)) if not lines[at].startswith(_INDENT)), len(lines))
            for at, command in _joined([one.removeprefix(_INDENT) for one in lines[number:end]]):
                yield Step(document, number + 1 + at, section, Kind.COMMAND, command, reason)
            reason, number = "", end - 1
        number += 1


def _fenced(tag: str, block: list[str], place: str) -> Iterator[tuple[int, Kind, str]]:
    if tag not in _TAGS:
        raise ValueError(f"{place}: a block fenced as {tag or 'nothing'}: use one of {', '.join(sorted(_TAGS))}")
    if tag == "yaml":
        yield 0, Kind.SETTINGS, "\n".join(block) + "\n"
        return
    prompt = "$ " if tag == "console" else ""
    shown = [line if line.startswith(prompt) else "" for line in block]
    for at, command in _joined([line.removeprefix(prompt) for line in shown]):
        yield at, Kind.COMMAND, command


def _joined(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield commands, each with the number of its first line; a backslash at the end continues a line."""
    begun: list[str] = []
    for at, line in enumerate(lines):
        begun.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            command = "".join(begun).strip()
            if command and not command.startswith("#"):
                yield at - len(begun) + 1, command
            begun = []
