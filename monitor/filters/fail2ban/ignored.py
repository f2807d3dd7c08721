"""Reads `ignoreip`: addresses, networks, names, and `file:PATH` with more of them."""

import re
from collections.abc import Callable
from pathlib import Path

from monitor.files.regular import read_regular
from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.ini import SIZE_LIMIT_BYTES
from monitor.filters.fail2ban.notation import split_words

_FILE = re.compile(r"file:(?://(?=/))?(.*)", re.DOTALL)
_COMMENT = re.compile(r"(?m)(?:^|\s)[#;].*")
_MAX_WORDS = 65_536


def read_ignoreip(text: str, note: Callable[[str], None]) -> tuple[str, ...]:
    """Return the words of `ignoreip`, those in files included; a file that cannot be read goes to `note`."""
    words: dict[str, None] = {}
    for word in split_words(text):
        match = _FILE.fullmatch(word)
        if match is None:
            words[word] = None
            continue
        try:
            words |= dict.fromkeys(_words_of(match[1]))
        except FilterError as error:
            note(f"ignoreip {word[:200]}: {error}")
    if len(words) > _MAX_WORDS:
        note(f"ignoreip has {len(words)} entries, only the first {_MAX_WORDS} are read")
    return tuple(words)[:_MAX_WORDS]


def _words_of(name: str) -> tuple[str, ...]:
    """Return the words of a file: separated as in `ignoreip`, with comments after `#` and `;`."""
    if not name.startswith("/"):
        raise FilterError("not an absolute path")
    try:
        data = read_regular(Path(name), SIZE_LIMIT_BYTES)
    except OSError as error:
        raise FilterError(f"cannot be read: {error.strerror or error}") from error
    except ValueError:
        raise FilterError("not a file name") from None
    if len(data) > SIZE_LIMIT_BYTES:
        raise FilterError("larger than 1 MiB")
    return split_words(_COMMENT.sub("", data.decode(errors="replace")))
