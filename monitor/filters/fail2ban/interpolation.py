"""`%(option)s` in values: expanded as fail2ban does, within bounds that no definition of definitions can break."""

import re
from collections.abc import Callable

from monitor.filters.definition import FilterError

MAX_VALUE_CHARS = 1 << 16
"""How long a value may become."""
_MAX_DEPTH = 10
_STEP_CHARS = 50
"""What each step costs, however short the text."""
_PERCENT = re.compile(r"%(?:%|\(([^)]+)\)s)?")


class Work:
    """Counts the characters that expansion looks at, so that a small file cannot keep us busy for hours."""

    def __init__(self, limit_chars: int) -> None:
        """Allow so much work in all."""
        self._left_chars = limit_chars

    def spend(self, chars: int) -> None:
        """Count some of it; FilterError when the bound is reached."""
        self._left_chars -= chars + _STEP_CHARS
        if self._left_chars < 0:
            raise FilterError("expanding this configuration takes too long: its definitions use each other too often")


def interpolate(text: str, look_up: Callable[[str], str | None], work: Work) -> str:
    """Return a raw value with `%(x)s` replaced, also inside of what replaces them, and `%%` as `%`.

    `look_up` returns the raw text of an option, given in lower case, or None. FilterError says what is wrong.
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
        """Add a text to the parts, and instead of each reference what it stands for."""
        if depth > _MAX_DEPTH:
            raise FilterError(f"references nest more than {_MAX_DEPTH} deep, or lead in a circle")
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
