"""Reads LAPI's answer to `/v1/decisions/stream` piece by piece. Pure.

The answer is one JSON object with two lists, `new` and `deleted`, either of which may be null, in any order. With
100,000 decisions it has 14 MB: decoding that in one call would keep the event loop from running for a tenth of a
second, since the decoder holds Python's lock. So the lists are cut into their items as they arrive, and the items are
decoded one by one. An item is a flat object; everything else, and any trailing data, is malformed.
"""

import enum
import re
from collections.abc import Iterator

import msgspec

from monitor.crowdsec.errors import Cause, LapiError, shortened

_MAX_ITEM_BYTES = 16 * 1024
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_FLAT_OBJECT = rb'\{(?:[^"{}]++|' + _STRING + rb")*+\}"


class WireDecision(msgspec.Struct, gc=False):
    """A decision as LAPI writes it; `duration` is what is left of it, in Go's notation."""

    id: int
    origin: str
    type: str
    scope: str
    value: str
    duration: str
    scenario: str = ""


decode_decision = msgspec.json.Decoder(WireDecision).decode
"""Reads one item; msgspec.DecodeError if it is no decision."""


class _State(enum.Enum):
    """What comes next."""

    START = rb"\{"
    NAME = rb"(" + _STRING + rb")\s*+:\s*+(null|\[)"
    FIRST_ITEM = rb"(" + _FLAT_OBJECT + rb"|\])"
    ITEM = rb"(" + _FLAT_OBJECT + rb")"
    AFTER_ITEM = rb"([,\]])"
    AFTER_LIST = rb"([,}])"
    END = rb""


_PATTERNS = {state: re.compile(rb"\s*+" + state.value, re.DOTALL) for state in _State}


class Items:
    """Cuts an answer into its items."""

    def __init__(self) -> None:
        """Begin at the start of an answer."""
        self._rest = b""
        self._state = _State.START
        self._list = ""
        self._lists: set[str] = set()

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield the items that are complete by now, each with the name of its list; LapiError if it is malformed."""
        buffer = self._rest + data
        at = 0
        while self._state is not _State.END and (found := _PATTERNS[self._state].match(buffer, at)):
            at = found.end()
            if item := self._take(found):
                yield self._list, item
        self._rest = buffer[at:]
        if len(self._rest) > _MAX_ITEM_BYTES or (self._state is _State.END and self._rest.strip()):
            raise self._malformed()

    def finish(self) -> None:
        """Take that the answer is over; LapiError if it is not complete."""
        if self._state is not _State.END or "new" not in self._lists:
            raise self._malformed()

    def _take(self, found: "re.Match[bytes]") -> bytes | None:
        """Take a token, and expect what may follow it; return the item if it is one."""
        match self._state:
            case _State.START:
                self._state = _State.NAME
            case _State.NAME:
                self._list = found[1][1:-1].decode("utf-8", "replace")
                if self._list in self._lists or len(self._lists) > 8:
                    raise self._malformed()
                self._lists.add(self._list)
                self._state = _State.AFTER_LIST if found[2] == b"null" else _State.FIRST_ITEM
            case _State.AFTER_ITEM:
                self._state = _State.ITEM if found[1] == b"," else _State.AFTER_LIST
            case _State.AFTER_LIST:
                self._state = _State.NAME if found[1] == b"," else _State.END
            case _ if found[1] == b"]":
                self._state = _State.AFTER_LIST
            case _:
                self._state = _State.AFTER_ITEM
                return found[1]
        return None

    def _malformed(self) -> LapiError:
        if self._lists:
            return LapiError(Cause.ANSWER, "the list of decisions is malformed, or ended early")
        start = shortened(self._rest[:40].decode("utf-8", "replace"))
        return LapiError(Cause.ANSWER, f"this is no list of decisions: {start!r}; is this a LAPI?")
