"""Where in a filter's file a fault is, as `FILE:LINE`: looked up only when there is one."""

import re
from collections.abc import Callable
from pathlib import Path

from monitor.files.regular import read_regular

_LIMIT_BYTES = 1 << 20
_KEY = re.compile(r"unknown field `([^`]+)`|missing required field `([^`]+)`|at `\$\.(\w+)")


def place_of_text(origin: str, text: str) -> str:
    """Return the place of an expression in the file that it was read from; the file alone where it is not found."""
    first = text.partition("\n")[0].strip()
    if not origin or not first:
        return origin
    spellings = {first, first.replace("\\", "\\\\"), first.replace("'", "''"), first.replace("%", "%%")}
    return _first(Path(origin), lambda line: any(one in line for one in spellings))


def place_of_key(path: Path, message: str) -> str:
    """Return the place of the key that a message of msgspec names; the file alone where it names none."""
    found = _KEY.search(message)
    if found is None:
        return str(path)
    key = re.compile(rf"\s*[\"']?{re.escape(found[1] or found[2] or found[3])}[\"']?\s*:")
    return _first(path, lambda line: key.match(line) is not None)


def _first(path: Path, is_it: Callable[[str], bool]) -> str:
    try:
        lines = read_regular(path, _LIMIT_BYTES).decode(errors="replace").split("\n")
    except (OSError, ValueError):
        return str(path)
    return next((f"{path}:{number}" for number, line in enumerate(lines, 1) if is_it(line)), str(path))
