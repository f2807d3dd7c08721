"""Whose a ban is, for people."""

from collections.abc import Mapping
from typing import Any

_NAMED = ("peer", "list")
"""Origins whose names mean nothing without them: `peer web-3`, `list drop`."""


def detector_of(text: str) -> str:
    """Return the name in what `origin` wrote, so that the column DETECTOR can be given back as it is shown."""
    word, _, name = text.partition(" ")
    return name if name and word in _NAMED else text


def origin(ban: Mapping[str, Any]) -> str:
    """Return the detector of a ban, or who else claims it."""
    return f"{ban['origin']} {ban['detector']}" if ban.get("origin") in _NAMED else str(ban["detector"])
