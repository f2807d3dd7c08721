"""Compiles an expression of `re` to a program of the native matcher (native/regex.c): the same result on ASCII text.

A program is a list of 32-bit words: a header (version, number of groups, of counters, of sets, of words of code), the
sets (five words each: a bit per ASCII byte, and one for the end of the text) and the instructions. What the
compiler knows about the next byte at each place decides where the matcher need not be able to go back: a repeated
set that shares no byte with what follows gives nothing back.
"""

import re
import sys
from array import array
from collections.abc import Callable, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from monitor.filters.byte_sets import (
    ANYTHING,
    SINGLE,
    Untranslatable,
    first_bytes,
    first_of,
    inner_flags,
    only_single,
    single,
)
from monitor.filters.instructions import LINE_END, LINE_START, PLACES, VERSION, Op
from monitor.filters.subexpressions import REPEATS, Item, tree_of

_SET_WORDS = 5
_MAX_WORDS = 1 << 16
_UNROLLED = 3
"""Repetitions of a sequence that are written out; more of them are counted."""
_UNBOUNDED = 0xFFFFFFFF


def compile_program(pattern: re.Pattern[str]) -> bytes:
    """Return the program of an expression, for `monitor._native.Program`; Untranslatable if there is none."""
    if pattern.flags & re.LOCALE:
        raise Untranslatable("it depends on the locale")
    try:
        tree = tree_of(pattern)
        return _Compiler(pattern).finish(list(tree))
    except RecursionError:
        raise Untranslatable("it is nested too deeply") from None


class _Compiler:
    """Writes the instructions of one expression."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._flags = pattern.flags
        self._groups = pattern.groups
        self._counters = 0
        self._sets: dict[int, int] = {}
        self._words: list[int] = []
        self._others: dict[Any, Callable[[Any, int, int], None]] = {
            sre.SUBPATTERN: self._group,
            sre.BRANCH: self._branch,
            sre.ATOMIC_GROUP: self._atomic,
            sre.GROUPREF: self._reference,
            sre.GROUPREF_EXISTS: self._conditional,
        }

    def finish(self, tree: Sequence[Item]) -> bytes:
        """Write everything."""
        self._sequence(tree, self._flags, ANYTHING)
        self._words.append(Op.MATCH)
        if len(self._words) > _MAX_WORDS:
            raise Untranslatable("it is too long")
        sets = [bits >> shift & 0xFFFFFFFF for bits in self._sets for shift in range(0, 32 * _SET_WORDS, 32)]
        head = [VERSION, self._groups, self._counters, len(self._sets), len(self._words)]
        return array("I", [*head, *sets, *self._words]).tobytes()

    def _put(self, *words: int) -> int:
        """Append words; return the position of the last one, for jumps that are not known yet."""
        self._words += words
        if len(self._words) > _MAX_WORDS:
            raise Untranslatable("it is too long")
        return len(self._words) - 1

    def _land(self, *places: int) -> None:
        """Let the jumps at these positions lead to here."""
        for place in places:
            self._words[place] = len(self._words)

    def _set(self, bits: int) -> int:
        return self._sets.setdefault(bits, len(self._sets))

    def _sequence(self, items: Sequence[Item], flags: int, follow: int) -> None:
        """Write items that are followed by a byte of `follow`."""
        rests = [follow]
        for code, argument in reversed(list(items[1:])):
            rests.append(first_of(code, argument, flags, rests[-1]))
        rests.reverse()
        index = 0
        while index < len(items):
            length = _literal_length(items, index)
            if length > 1:
                self._literals([argument for _, argument in items[index : index + length]], flags)
                index += length
                continue
            self._item(*items[index], flags, rests[index])
            index += 1

    def _literals(self, codes: Sequence[int], flags: int) -> None:
        if any(code > 0x7F for code in codes):
            if flags & re.IGNORECASE:
                raise Untranslatable("it has characters beyond ASCII")
            self._put(Op.FAIL)
            return
        text = bytes(codes)
        is_folded = bool(flags & re.IGNORECASE) and text.lower() != text.upper()
        if is_folded:
            text = text.lower()
        padded = text + bytes(-len(text) % 4)
        words = [int.from_bytes(padded[at : at + 4], sys.byteorder) for at in range(0, len(padded), 4)]
        self._put(Op.LITERAL_FOLDED if is_folded else Op.LITERAL, len(text), *words)

    def _item(self, code: Any, argument: Any, flags: int, rest: int) -> None:
        if code in SINGLE:
            self._put(Op.SET, self._set(single(code, argument, flags)))
        elif code is sre.AT:
            self._put(Op.AT, _place(argument, flags))
        elif code is sre.FAILURE:
            self._put(Op.FAIL)
        elif code in REPEATS:
            self._repeat(code, argument, flags, rest)
        elif code in (sre.ASSERT, sre.ASSERT_NOT):
            self._look(argument[0], argument[1], flags, is_negative=code is sre.ASSERT_NOT)
        else:
            try:
                write = self._others[code]
            except KeyError:
                raise Untranslatable(f"unknown item {code}") from None
            write(argument, flags, rest)

    def _group(self, argument: Any, flags: int, rest: int) -> None:
        group, added, removed, inner = argument
        flags = inner_flags(flags, added, removed)
        if group is None:
            self._sequence(inner, flags, rest)
            return
        self._put(Op.SAVE, 2 * group)
        self._sequence(inner, flags, rest)
        self._put(Op.SAVE, 2 * group + 1)

    def _atomic(self, inner: Sequence[Item], flags: int, _rest: int) -> None:
        self._put(Op.ATOMIC)
        self._sequence(inner, flags, ANYTHING)
        self._put(Op.ATOMIC_END)

    def _reference(self, group: int, flags: int, _rest: int) -> None:
        if flags & re.IGNORECASE:
            raise Untranslatable("a reference that ignores case")
        self._put(Op.REFERENCE, group)

    def _repeat(self, code: Any, argument: Any, flags: int, rest: int) -> None:
        low, high, inner = argument
        most = _UNBOUNDED if high is sre.MAXREPEAT else int(high)
        if low > 0xFFFF or (most != _UNBOUNDED and most > 0xFFFFFF):
            raise Untranslatable("a very large number of repetitions")
        bits = only_single(inner, flags)
        if bits is not None:
            self._single_loop(code, bits, low, most, rest)
            return
        if most > 1 and _may_be_empty(inner):
            raise Untranslatable("repeats what may be empty")
        if code is sre.POSSESSIVE_REPEAT:  # CPython 3.11 goes on in the middle of a round that failed
            raise Untranslatable("a possessive repeat of a sequence")
        self._loop(inner, low, most, flags, rest, is_lazy=code is sre.MIN_REPEAT)

    def _single_loop(self, code: Any, bits: int, low: int, most: int, rest: int) -> None:
        number = self._set(bits)
        if code is sre.POSSESSIVE_REPEAT or low == most or (code is sre.MAX_REPEAT and not bits & rest):
            self._put(Op.RUN, number, low, most)
        else:
            self._put(Op.GREEDY if code is sre.MAX_REPEAT else Op.LAZY, number, low, most, self._set(rest))

    def _loop(self, inner: Sequence[Item], low: int, most: int, flags: int, rest: int, *, is_lazy: bool) -> None:
        """Repeat a sequence that matches at least one byte, or that is optional."""
        own = first_bytes(inner, flags, rest)
        again = own | rest
        if low > _UNROLLED or (most != _UNBOUNDED and most - low > _UNROLLED):
            self._counted(inner, low, most, flags, again, is_lazy=is_lazy)
            return
        for _ in range(low):
            self._sequence(inner, flags, again)
        exits = []
        start = len(self._words)
        for _ in range(1 if most == _UNBOUNDED else most - low):
            exits.append(self._choice(own, rest, is_lazy=is_lazy))
            self._sequence(inner, flags, again if most > 1 else rest)
        if most == _UNBOUNDED:
            self._put(Op.JUMP, start)
        self._land(*exits)

    def _choice(self, own: int, rest: int, *, is_lazy: bool) -> int:
        """Write a choice between what follows here (`own`) and an exit (`rest`); return where the exit is named."""
        if not own & rest:
            return self._put(Op.ONLY, self._set(own), 0)
        if not is_lazy:
            return self._put(Op.SPLIT, self._set(own), 0)
        body = self._put(Op.SPLIT, self._set(rest), 0)
        leave = self._put(Op.JUMP, 0)
        self._land(body)
        return leave

    def _counted(self, inner: Sequence[Item], low: int, most: int, flags: int, again: int, *, is_lazy: bool) -> None:
        register = 2 * (self._groups + 1) + self._counters
        self._counters += 1
        self._put(Op.COUNT, register)
        start = len(self._words)
        leave = self._put(Op.LOOP, register, low, most, int(is_lazy), 0)
        self._sequence(inner, flags, again)
        self._put(Op.JUMP, start)
        self._land(leave)

    def _branch(self, argument: Any, flags: int, rest: int) -> None:
        branches: Sequence[Sequence[Item]] = argument[1]
        firsts = [first_bytes(branch, flags, rest) for branch in branches]
        ends = []
        for index, branch in enumerate(branches[:-1]):
            later = 0
            for first in firsts[index + 1 :]:
                later |= first
            other = self._choice(firsts[index], later, is_lazy=False)
            self._sequence(branch, flags, rest)
            ends.append(self._put(Op.JUMP, 0))
            self._land(other)
        self._sequence(branches[-1], flags, rest)
        self._land(*ends)

    def _look(self, direction: int, inner: Any, flags: int, *, is_negative: bool) -> None:
        bits = only_single(inner, flags)
        if bits is not None:
            self._put(Op.PEEK if direction > 0 else Op.BEHIND, self._set(ANYTHING & ~bits if is_negative else bits))
            return
        back = 0
        if direction < 0:
            least, longest = inner.getwidth()
            if least != longest or longest > 0xFFFF:
                raise Untranslatable("looks behind by a variable width")
            back = least
        if is_negative:
            other = self._put(Op.NOT, back, 0)
            self._sequence(inner, flags, ANYTHING)
            self._put(Op.NOT_END)
            self._land(other)
        else:
            self._put(Op.LOOK, back)
            self._sequence(inner, flags, ANYTHING)
            self._put(Op.LOOK_END)

    def _conditional(self, argument: Any, flags: int, rest: int) -> None:
        group, then, otherwise = argument
        other = self._put(Op.IF_SET, group, 0)
        self._sequence(then, flags, rest)
        if otherwise:
            leave = self._put(Op.JUMP, 0)
            self._land(other)
            self._sequence(otherwise, flags, rest)
            self._land(leave)
        else:
            self._land(other)


def _place(anchor: Any, flags: int) -> int:
    if flags & re.MULTILINE:
        if anchor is sre.AT_BEGINNING:
            return LINE_START
        if anchor is sre.AT_END:
            return LINE_END
    try:
        return PLACES[anchor]
    except KeyError:
        raise Untranslatable(f"unknown anchor {anchor}") from None


def _literal_length(items: Sequence[Item], start: int) -> int:
    """Return how many literals are in a row."""
    end = start
    while end < len(items) and items[end][0] is sre.LITERAL:
        end += 1
    return end - start


def _may_be_empty(items: Any) -> bool:
    return bool(items.getwidth()[0] == 0)
