"""The last lines of a log, for expressions that span several (`maxlines`, `<SKIPLINES>`)."""

import re
from collections import deque

_MAX_CHARACTERS = 65_536


class LineBuffer:
    """The last `maxlines` lines; a match removes the lines that it used."""

    def __init__(self, maxlines: int) -> None:
        """Start empty."""
        self._lines: deque[str] = deque(maxlen=maxlines)

    def add(self, text: str) -> str:
        """Add a line (with its newline); return all buffered lines as one text of bounded length."""
        self._lines.append(text)
        while len(self._lines) > 1 and sum(map(len, self._lines)) > _MAX_CHARACTERS:
            self._lines.popleft()
        return "".join(self._lines)

    def clear(self) -> None:
        """Forget all lines."""
        self._lines.clear()

    def take(self, match: re.Match[str]) -> str:
        """Remove the lines of a match and return them; lines that it skipped stay, for other expressions."""
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
