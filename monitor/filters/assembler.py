"""The words of a program as they are written: instructions, jumps whose targets come later, and sets of bytes.

Pairs of instructions for which there is one instruction become that one.
"""

from array import array

from monitor.filters.byte_sets import ANYTHING, ASCII, END, Untranslatable
from monitor.filters.instructions import VERSION, Op

_SET_WORDS = 5
_BUT_SHIFT = 128 + 8
_ONLY_SHIFT = 128 + 16
"""NW_BUT_SHIFT and NW_ONLY_SHIFT of native/program.h, in the last word of a set."""
_SWITCH_BYTES = 132
_MAX_WORDS = 1 << 16
_CHOICES = frozenset({Op.SPLIT, Op.GREEDY, Op.LAZY, Op.LOOP, Op.OPTION})
_TAKING = {Op.ONLY: Op.ONLY_TAKE, Op.SPLIT: Op.SPLIT_TAKE}
_JUMP_WORDS = 3


class Assembler:
    """Collects one program."""

    def __init__(self) -> None:
        """Start with no instruction."""
        self.choices = 0
        """The number of instructions so far that the matcher may go back to."""
        self._sets: dict[int, int] = {}
        self._words: list[int] = []
        self._last = 0
        self._landed = -1

    @property
    def here(self) -> int:
        """Where the next instruction will be."""
        return len(self._words)

    def finish(self, groups: int, counters: int) -> bytes:
        """Return the program."""
        sets = [
            (bits | _all_but(bits) << _BUT_SHIFT | _only(bits) << _ONLY_SHIFT) >> shift & 0xFFFFFFFF
            for bits in self._sets
            for shift in range(0, 32 * _SET_WORDS, 32)
        ]
        return array("I", [VERSION, groups, counters, len(self._sets), self.here, *sets, *self._words]).tobytes()

    def put(self, op: Op, *operands: int) -> int:
        """Append an instruction; return the position of its last word, for a jump that is not known yet."""
        self._last = self.here
        self.choices += op in _CHOICES
        self._words += (op, *operands)
        if self.here > _MAX_WORDS:
            raise Untranslatable("it is too long")
        return self.here - 1

    def take(self, bits: int) -> None:
        """Append what takes one byte of these."""
        before = self._words[self._last] if self.here == self._last + _JUMP_WORDS != self._landed else None
        if before in _TAKING:
            known = list(self._sets)[self._words[self._last + 1]]
            if not known & ~bits:
                self._words[self._last] = _TAKING[Op(before)]
                return
        if bits.bit_count() == 1:
            self.put(Op.BYTE, bits.bit_length() - 1)
        else:
            self.put(Op.SET, self.set(bits))

    def literal(self, text: bytes, *, is_folded: bool) -> None:
        """Append what takes this text; one that ignores case is in lower case."""
        padded = text + bytes(-len(text) % 4)
        self.put(Op.LITERAL_FOLDED if is_folded else Op.LITERAL, len(text), *array("I", padded))

    def switch(self, firsts: list[int]) -> list[int]:
        """Append a choice by the next byte; return where the targets are named, one for each of these sets."""
        table = bytearray(_SWITCH_BYTES)
        for number, bits in enumerate(firsts, 1):
            for byte in range(END.bit_length()):
                if bits >> byte & 1:
                    table[byte] = number
        last = self.put(Op.SWITCH, len(firsts), *array("I", bytes(table)), *(0 for _ in firsts))
        return list(range(last - len(firsts) + 1, last + 1))

    def land(self, *places: int) -> None:
        """Let the jumps at these positions lead to here."""
        for place in places:
            self._words[place] = self.here
        self._landed = self.here

    def state(self) -> tuple[int, int, int, int, list[int]]:
        """Return what `back_to` needs."""
        return self.here, self.choices, self._last, self._landed, self._words[self._last : self._last + 1]

    def back_to(self, state: tuple[int, int, int, int, list[int]]) -> None:
        """Forget what was written since `state`; nothing before may lead there."""
        here, self.choices, self._last, self._landed, last = state
        del self._words[here:]
        self._words[self._last : self._last + 1] = last

    def set(self, bits: int) -> int:
        """Return the number of a set."""
        return self._sets.setdefault(bits & ANYTHING, len(self._sets))


def _all_but(bits: int) -> int:
    """Return the only ASCII byte that is missing in a set, plus one; 0 if there are more, or none."""
    missing = ASCII & ~bits
    return missing.bit_length() if missing.bit_count() == 1 else 0


def _only(bits: int) -> int:
    """Return the only ASCII byte of a set, plus one; 0 if there are more, or the end of the text is in it."""
    return bits.bit_length() if bits.bit_count() == 1 and bits != END else 0
