"""The last lines of a log, for expressions that span several (`maxlines`, `<SKIPLINES>`)."""

import re
from collections import deque

_MAX_CHARACTERS = 65_536


class LineBuffer:
    """The last `maxlines` lines, of which a match takes those that it used."""

    def __init__(self, maxlines: int) -> None:
        """Hold nothing."""
        self._lines: deque[str] = deque(maxlen=maxlines)

    def add(self, text: str) -> str:
        """Take in a line (ending in a newline); return all that are held, as one text of bounded length."""
        self._lines.append(text)
        while len(self._lines) > 1 and sum(map(len, self._lines)) > _MAX_CHARACTERS:
            self._lines.popleft()
        return "".join(self._lines)

    def clear(self) -> None:
        """Forget all lines."""
        self._lines.clear()

    def take(self, match: re.Match[str]) -> str:
        """Drop the lines of a match, and return them; those that it skipped stay, another expression may want them."""
        text = match.string
        first = text.count("\n", 0, match.start())
        last = text.count("\n", 0, max(match.start(), match.end() - 1))
        lines = list(self._lines)
        skipped = [
            f"{line}\n"
            for name, value in match.groupdict().items()
            if name.startswith("skiplines") and value
            for line in value.split("\n")[:-1]
        ]
        kept = lines[:first]
        taken = []
        for line in lines[first : last + 1]:
            if line in skipped:
                skipped.remove(line)
                kept.append(line)
            else:
                taken.append(line)
        self._lines.clear()
        self._lines.extend(kept + lines[last + 1 :])
        return "".join(taken)
