"""Compiles an expression of `re` to a program of the native matcher (native/regex.c): the same result on ASCII text.

A program is a list of 32-bit words: a header (version, number of groups, of counters, of sets, of words of code), the
sets (five words each: a bit per ASCII byte, and one for the end of the text) and the instructions. What the
compiler knows about the next byte at each place decides where the matcher need not be able to go back: a repeated
set that shares no byte with what follows gives nothing back.
"""

import re
from collections.abc import Callable, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from monitor.filters.assembler import Assembler
from monitor.filters.byte_sets import (
    ANYTHING,
    SINGLE,
    Untranslatable,
    first_bytes,
    first_of,
    inner_flags,
    only_single,
    single,
    union_of,
)
from monitor.filters.instructions import Op, place_of
from monitor.filters.subexpressions import REPEATS, Item, tree_of

_IGNORECASE = int(re.IGNORECASE)
_LAST = 1 << 129
"""Added to the bytes that can follow: what comes next surely succeeds, so nothing that was taken is given back."""
_SWITCH = 4
"""Branches that are chosen by a table; fewer are tried in turn."""
_DEEPEST_TRIAL = 4
"""Atomic groups in each other that are written twice, to see whether they are atomic anyway."""
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
        self._flags = int(pattern.flags)
        self._groups = pattern.groups
        self._counters = 0
        self._out = Assembler()
        self._depth = 0
        self._others: dict[Any, Callable[[Any, int, int], None]] = {
            sre.SUBPATTERN: self._group,
            sre.BRANCH: self._branch,
            sre.ATOMIC_GROUP: self._atomic,
            sre.GROUPREF: self._reference,
            sre.GROUPREF_EXISTS: self._conditional,
        }

    def finish(self, tree: Sequence[Item]) -> bytes:
        """Write everything."""
        self._sequence(tree, self._flags, ANYTHING | _LAST)
        self._out.put(Op.MATCH)
        return self._out.finish(self._groups, self._counters)

    def _sequence(self, items: Sequence[Item], flags: int, follow: int) -> None:
        """Write items that are followed by a byte of `follow`."""
        rests = [follow]
        for code, argument in reversed(list(items[1:])):
            rests.append(first_of(code, argument, flags, rests[-1] & ANYTHING))
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
            if flags & _IGNORECASE:
                raise Untranslatable("it has characters beyond ASCII")
            self._out.put(Op.FAIL)
            return
        text = bytes(codes)
        is_folded = bool(flags & _IGNORECASE) and text.lower() != text.upper()
        if is_folded:
            text = text.lower()
        self._out.literal(text, is_folded=is_folded)

    def _item(self, code: Any, argument: Any, flags: int, rest: int) -> None:
        if code in SINGLE:
            self._out.take(single(code, argument, flags))
        elif code is sre.AT:
            self._out.put(Op.AT, place_of(argument, flags))
        elif code is sre.FAILURE:
            self._out.put(Op.FAIL)
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
        self._out.put(Op.SAVE, 2 * group)
        self._sequence(inner, flags, rest)
        self._out.put(Op.SAVE, 2 * group + 1)

    def _atomic(self, inner: Sequence[Item], flags: int, _rest: int) -> None:
        state, choices, counters = self._out.state(), self._out.choices, self._counters
        self._depth += 1
        if self._depth <= _DEEPEST_TRIAL:
            self._sequence(inner, flags, ANYTHING | _LAST)
            if self._out.choices == choices:
                self._depth -= 1
                return
            self._out.back_to(state)
            self._counters = counters
        self._out.put(Op.ATOMIC)
        self._sequence(inner, flags, ANYTHING | _LAST)
        self._out.put(Op.ATOMIC_END)
        self._depth -= 1

    def _reference(self, group: int, flags: int, _rest: int) -> None:
        if flags & _IGNORECASE:
            raise Untranslatable("a reference that ignores case")
        self._out.put(Op.REFERENCE, group)

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
        if code is sre.POSSESSIVE_REPEAT:  # CPython 3.11 continues in the middle of a round that failed
            raise Untranslatable("a possessive repeat of a sequence")
        self._loop(inner, low, most, flags, rest, is_lazy=code is sre.MIN_REPEAT)

    def _single_loop(self, code: Any, bits: int, low: int, most: int, rest: int) -> None:
        number = self._out.set(bits)
        if rest & _LAST and code is sre.MIN_REPEAT:
            most = low
        is_kept = code is sre.POSSESSIVE_REPEAT or low == most or rest & _LAST
        if is_kept or (code is sre.MAX_REPEAT and not bits & rest):
            if (low, most) == (0, 1):
                self._out.put(Op.MAYBE, number)
            elif most == 1:
                self._out.take(bits)
            else:
                self._out.put(Op.RUN, number, low, most)
        elif code is sre.MAX_REPEAT and (low, most) == (0, 1):
            self._out.put(Op.OPTION, number, self._out.set(rest))
        else:
            self._out.put(Op.GREEDY if code is sre.MAX_REPEAT else Op.LAZY, number, low, most, self._out.set(rest))

    def _loop(self, inner: Sequence[Item], low: int, most: int, flags: int, rest: int, *, is_lazy: bool) -> None:
        """Repeat a sequence that matches at least one byte, or that is optional."""
        own = first_bytes(inner, flags, rest & ANYTHING)
        again = (own | rest) & ANYTHING
        if low > _UNROLLED or (most != _UNBOUNDED and most - low > _UNROLLED):
            self._counted(inner, low, most, flags, again, is_lazy=is_lazy)
            return
        for _ in range(low):
            self._sequence(inner, flags, again)
        exits = []
        start = self._out.here
        for _ in range(1 if most == _UNBOUNDED else most - low):
            exits.append(self._choice(own, rest, is_lazy=is_lazy))
            self._sequence(inner, flags, again if most > 1 else rest)
        if most == _UNBOUNDED:
            self._out.put(Op.JUMP, start)
        self._out.land(*exits)

    def _choice(self, own: int, rest: int, *, is_lazy: bool) -> int:
        """Write a choice between what follows here (`own`) and an exit (`rest`); return where the exit is named."""
        if not own & rest:
            return self._out.put(Op.ONLY, self._out.set(own), 0)
        if not is_lazy:
            return self._out.put(Op.SPLIT, self._out.set(own), 0)
        body = self._out.put(Op.SPLIT, self._out.set(rest), 0)
        leave = self._out.put(Op.JUMP, 0)
        self._out.land(body)
        return leave

    def _counted(self, inner: Sequence[Item], low: int, most: int, flags: int, again: int, *, is_lazy: bool) -> None:
        register = 2 * (self._groups + 1) + self._counters
        self._counters += 1
        self._out.put(Op.COUNT, register)
        start = self._out.here
        leave = self._out.put(Op.LOOP, register, low, most, int(is_lazy), 0)
        self._sequence(inner, flags, again)
        self._out.put(Op.JUMP, start)
        self._out.land(leave)

    def _branch(self, argument: Any, flags: int, rest: int) -> None:
        branches: Sequence[Sequence[Item]] = argument[1]
        firsts = [first_bytes(branch, flags, rest & ANYTHING) for branch in branches]
        if len(branches) in range(_SWITCH, 256) and sum(firsts) == union_of(firsts):
            self._switch(branches, firsts, flags, rest)
            return
        ends = []
        for index, branch in enumerate(branches[:-1]):
            other = self._choice(firsts[index], union_of(firsts[index + 1 :]), is_lazy=False)
            self._sequence(branch, flags, rest)
            ends.append(self._out.put(Op.JUMP, 0))
            self._out.land(other)
        self._sequence(branches[-1], flags, rest)
        self._out.land(*ends)

    def _switch(self, branches: Sequence[Sequence[Item]], firsts: list[int], flags: int, rest: int) -> None:
        """Write branches of which no two start with the same byte."""
        ends = []
        for place, branch in zip(self._out.switch(firsts), branches, strict=True):
            self._out.land(place)
            self._sequence(branch, flags, rest)
            ends.append(self._out.put(Op.JUMP, 0))
        self._out.land(*ends)

    def _look(self, direction: int, inner: Any, flags: int, *, is_negative: bool) -> None:
        bits = only_single(inner, flags)
        if bits is not None:
            self._out.put(
                Op.PEEK if direction > 0 else Op.BEHIND, self._out.set(ANYTHING & ~bits if is_negative else bits)
            )
            return
        back = 0
        if direction < 0:
            least, longest = inner.getwidth()
            if least != longest or longest > 0xFFFF:
                raise Untranslatable("looks behind by a variable width")
            back = least
        first = ANYTHING if back else first_bytes(inner, flags, ANYTHING)
        if is_negative:
            others = [] if first == ANYTHING else [self._out.put(Op.ONLY, self._out.set(first), 0)]
            others.append(self._out.put(Op.NOT, back, 0))
            self._sequence(inner, flags, ANYTHING | _LAST)
            self._out.put(Op.NOT_END)
            self._out.land(*others)
        else:
            if first != ANYTHING:
                self._out.put(Op.PEEK, self._out.set(first))
            self._out.put(Op.LOOK, back)
            self._sequence(inner, flags, ANYTHING | _LAST)
            self._out.put(Op.LOOK_END)

    def _conditional(self, argument: Any, flags: int, rest: int) -> None:
        group, then, otherwise = argument
        other = self._out.put(Op.IF_SET, group, 0)
        self._sequence(then, flags, rest)
        if otherwise:
            leave = self._out.put(Op.JUMP, 0)
            self._out.land(other)
            self._sequence(otherwise, flags, rest)
            self._out.land(leave)
        else:
            self._out.land(other)


def _literal_length(items: Sequence[Item], start: int) -> int:
    """Return how many literals are in a row."""
    end = start
    while end < len(items) and items[end][0] is sre.LITERAL:
        end += 1
    return end - start


def _may_be_empty(items: Any) -> bool:
    return bool(items.getwidth()[0] == 0)
