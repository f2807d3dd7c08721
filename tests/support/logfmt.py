"""Reads logfmt as go-logfmt does, which Loki and Promtail use: strictly, so that what is not logfmt is an error."""

import json
import re

_PAIR = re.compile(r'([^\x00-\x20="]+)=("(?:[^"\\\x00-\x1f]|\\.)*"|[^\x00-\x20="]*)( |$)')


def parse(line: str) -> dict[str, str]:
    """Return the pairs of a line; ValueError if it is malformed, or a key comes twice."""
    found: dict[str, str] = {}
    at = 0
    while at < len(line):
        pair = _PAIR.match(line, at)
        if pair is None:
            raise ValueError(f"malformed at {at}: {line[at:]!r}")
        key, value = pair[1], pair[2]
        if key in found:
            raise ValueError(f"{key} comes twice")
        found[key] = json.loads(value) if value.startswith('"') else value
        at = pair.end()
    return found
