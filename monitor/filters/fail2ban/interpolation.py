"""Expands `%(option)s` in values as fail2ban does; limits on time and size hold for nested references too."""

import re
from collections.abc import Callable

from monitor.filters.definition import FilterError

MAX_VALUE_CHARS = 1 << 16
"""Maximum length of an expanded value."""
_MAX_DEPTH = 10
_STEP_CHARS = 50
"""The minimum cost of each step, even for short text."""
_PERCENT = re.compile(r"%(?:%|\(([^)]+)\)s)?")


class Work:
    """Counts the characters that expansion processes, so that a small file cannot cause hours of work."""

    def __init__(self, limit_chars: int) -> None:
        """Allow at most `limit_chars` in total."""
        self._left_chars = limit_chars

    def spend(self, chars: int) -> None:
        """Count work; FilterError when the limit is reached."""
        self._left_chars -= chars + _STEP_CHARS
        if self._left_chars < 0:
            raise FilterError("expanding this configuration takes too long: its options refer to each other too often")


def interpolate(text: str, look_up: Callable[[str], str | None], work: Work) -> str:
    """Return a raw value with `%(x)s` replaced, recursively, and `%%` replaced by `%`.

    `look_up` takes an option name in lower case and returns its raw text or None. FilterError if it cannot be expanded.
    """
    expander = _Expander(look_up, work)
    expander.expand(text, 1)
    return "".join(expander.parts)


class _Expander:
    def __init__(self, look_up: Callable[[str], str | None], work: Work) -> None:
        self._look_up = look_up
        self._work = work
        self._length = 0
        self.parts: list[str] = []

    def expand(self, text: str, depth: int) -> None:
        """Add a text to the parts, with each reference replaced by its value."""
        if depth > _MAX_DEPTH:
            raise FilterError(f"references are nested more than {_MAX_DEPTH} deep, or form a cycle")
        self._work.spend(len(text))
        end = 0
        for match in _PERCENT.finditer(text):
            self._add(text[end : match.start()])
            end = match.end()
            if match[0] == "%%":
                self._add("%")
            elif match[1] is None:
                raise FilterError(f"a lone % in {text[match.start() :][:40]!r}: write %% for it, or %(option)s")
            else:
                self._replace(match[1].lower(), depth)
        self._add(text[end:])

    def _replace(self, name: str, depth: int) -> None:
        found = self._look_up(name)
        if found is None:
            raise FilterError(f"there is no option {name[:80]!r} for %({name[:80]})s")
        self.expand(found, depth + 1)

    def _add(self, text: str) -> None:
        self._length += len(text)
        if self._length > MAX_VALUE_CHARS:
            raise FilterError(f"expands to more than {MAX_VALUE_CHARS} characters")
        self.parts.append(text)
