"""The table of block lists in the kernel: made, filled in small transactions, compared, removed.

See `list_frame` for what it contains. One instance belongs to one thread; only `compare` may be called from another.
Every call raises PermanentError if CAP_NET_ADMIN or nf_tables is missing, and TemporaryError for other errors: then
nothing of that transaction was done.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from monitor.enforcers import netlink
from monitor.enforcers.netlink import DEL_ELEMENTS, GET_ELEMENTS, NEW_ELEMENTS, ElementEncoder, NetlinkRequest
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import contents, listing, messages
from monitor.enforcers.nftables.definition import Step
from monitor.enforcers.nftables.fingerprint import Definition, differences, read_definition, summary
from monitor.enforcers.nftables.list_frame import (
    LETTERS,
    SCHEMA,
    SETS,
    TABLE,
    ListFrame,
    allow_steps,
    frame_steps,
    live_steps,
    room_steps,
    set_end,
)
from monitor.enforcers.nftables.setup import remove_table
from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import Address, Network, collapse
from monitor.model.errors import TemporaryError
from monitor.model.parts import in_parts

Entry: TypeAlias = tuple[Address, int]
"""An address and the length of its prefix."""


class Compared(msgspec.Struct, frozen=True):
    """What a comparison found: sentences about the table, its allow sets, and lists by name; false if all is well."""

    table: str = ""
    allow: str = ""
    lists: Mapping[str, str] = {}

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.table or self.allow or self.lists)

    def __str__(self) -> str:
        """Say what is wrong, in a line."""
        return "; ".join(filter(None, [self.table, self.allow, *self.lists.values()]))

    @property
    def is_all(self) -> bool:
        """Whether what all lists have in the kernel is in doubt."""
        return bool(self.table)


class Expected(msgspec.Struct, frozen=True):
    """What should be in the sets of a list."""

    frame: ListFrame
    counts: Mapping[str, int]
    """How many elements, by the ends of the names of its sets (`SETS`); those of other sets are not compared."""
    sample: Sequence[Entry]
    """Some networks that must be there."""
    is_live: bool


class _Found(msgspec.Struct, frozen=True):
    """The parts of the table that can stay, and what removes those that cannot."""

    parts: frozenset[str]
    removal: tuple[Step, ...] = ()


class ListTable:
    """The table of one network namespace; it is created with the first list."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._opened: NetlinkSocket | None = None
        self._definition: Definition | None = None
        self._allowed: Sequence[Network] = ()
        self._counts: dict[str, Stopped] = {}

    def exists(self) -> bool:
        """Whether there is such a table, whatever its content."""
        return not isinstance(self._socket().query([messages.get_table(TABLE)])[0], int)

    def letters(self, name: str) -> list[str]:
        """Return the letters that new sets of a list can have: first those that no set in the kernel has."""
        found = read_definition(TABLE)
        return sorted(LETTERS, key=lambda letter: any(f"set list_{name}_{letter}{end}" in found for end in SETS))

    def make_room(self, frame: ListFrame) -> None:
        """Make the sets of a list that is to be filled, empty; TemporaryError if rules use sets of these names."""
        found = self._found()
        self._run([*found.removal, *room_steps(frame, found.parts)])

    def set_up(self, frames: Sequence[ListFrame], allowlist: Sequence[Network], left_s: Mapping[str, float]) -> None:
        """Have exactly these lists in force, each for so long from now; all other sets are deleted.

        Their own sets stay as they are; rules, allow sets and times are written anew.
        """
        found, disjoint = self._found(), collapse(list(allowlist))
        steps = [*found.removal, *frame_steps(frames, found.parts, self._counts), *allow_steps(disjoint)]
        self._run([*steps, *(step for one in frames for step in live_steps(one, left_s[one.name]))])
        self._allowed = disjoint
        self._note_definition()

    def _note_definition(self) -> None:
        """Want the table to be as it is; while others keep changing nf_tables, `compare` does that later."""
        try:
            self._definition = read_definition(TABLE)
        except TemporaryError:
            self._definition = None

    def _found(self) -> "_Found":
        """Return what there is in the kernel.

        A table of another schema is to be removed, and one that nft(8) loaded from a listing: other versions may crash
        on what it adds to sets.
        """
        comment = listing.table_comment(self._socket(), TABLE)
        if comment is None:
            return _Found(frozenset())
        parts = frozenset(read_definition(TABLE))
        names = [name.removeprefix("set ") for name in parts if name.startswith("set ")]
        sets = listing.read_definitions(self._socket(), names, TABLE).values()
        if SCHEMA.encode() not in comment or any(one.has_userdata for one in sets):
            return _Found(frozenset(), (Step("the former table", messages.delete_table(TABLE)),))
        return _Found(parts)

    def write(self, frame: ListFrame, removed: Sequence[Entry], added: Sequence[Entry]) -> None:
        """Remove networks from the sets of a list and add others, in one transaction."""
        steps = [
            Step(f"a part of list {frame.name}", request)
            for kind, entries in ((DEL_ELEMENTS, removed), (NEW_ELEMENTS, added))
            for request in _requests(frame, kind, entries)
        ]
        if steps:
            self._run(steps)

    def renew(self, frame: ListFrame, left_s: float) -> None:
        """Let a list be live for so long from now."""
        self._run(list(live_steps(frame, left_s)))

    def allow(self, networks: Sequence[Network]) -> None:
        """Replace both allow sets in one transaction; networks may overlap."""
        disjoint = collapse(list(networks))
        self._run(list(allow_steps(disjoint)))
        self._allowed = disjoint

    def hits(self, frames: Iterable[ListFrame]) -> dict[str, Stopped]:
        """Read how many packets came that lists name, by list; those without a counter are left out."""
        frames = list(frames)
        answers = self._socket().query([messages.get_counter(TABLE, one.counter) for one in frames])
        hits = {}
        for one, answer in zip(frames, answers, strict=True):
            if not isinstance(answer, int):
                _, packets, octets = netlink.decode_counter(answer.body)
                hits[one.name] = self._counts[one.counter] = Stopped(packets, octets)
        return hits

    def compare(self, expected: Sequence[Expected]) -> Compared:
        """Compare the table with what it should be; in any thread, while nothing writes to it.

        Numbers of elements and samples are compared, not each element: a list may have a million.
        """
        found = read_definition(TABLE)
        self._definition = self._definition or found
        if wrong := differences(self._definition, found):
            return Compared(f"others changed it: {summary(wrong)}")
        link = NetlinkSocket()
        try:
            lists = {one.frame.name: text for one in expected if (text := _wrong(link, one))}
        finally:
            link.close()
        return Compared(allow="" if self._allow_sets_are_right() else "others changed its allow sets", lists=lists)

    def _allow_sets_are_right(self) -> bool:
        wanted = [(one.address, one.last()) for one in self._allowed]
        found = [one[:2] for name in ("allow4", "allow6") for one in contents.read_intervals(name, table=TABLE)]
        return contents.union(wanted) == contents.union(found)

    def flush(self) -> None:
        """Delete the table with all lists; a missing table is not an error."""
        self._definition = None
        remove_table(self._socket(), TABLE)

    def close(self) -> None:
        """Close the socket; table and lists stay in force. The next call opens it again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _socket(self) -> NetlinkSocket:
        if self._opened is None:
            self._opened = NetlinkSocket()
        return self._opened

    def _run(self, steps: Sequence[Step]) -> None:
        failed = self._socket().transact([step.request for step in steps])
        for index, code in sorted(failed.items()):
            raise TemporaryError(f"the kernel refused {steps[index].what}: {os.strerror(code)}")


def _requests(frame: ListFrame, kind: int, entries: Sequence[Entry]) -> Iterator[NetlinkRequest]:
    for size, head in _HEADS.items():
        bits = 8 * size
        hosts = [head + address for address, length in entries if length == bits and len(address) == size]
        nets = [
            netlink.encode_element(Network(address, length), interval=True)
            for address, length in (entries if len(hosts) < len(entries) else ())
            if length < bits and len(address) == size
        ]
        encoder = ElementEncoder(TABLE, frame.set_name(set_end(size, bits)))
        yield from (encoder.request(kind, b"".join(some)) for some in in_parts(hosts, _AT_ONCE))
        yield from ElementEncoder(TABLE, frame.set_name(set_end(size, 0))).requests(kind, nets)


_HEADS = {size: netlink.encode_key(bytes(size))[:-size] for size in (4, 16)}
"""What comes before the address in an element of a hash set: a long list has a million of them."""
_AT_ONCE = 1024
"""Addresses of a message, whose length has 16 bits."""


def _wrong(link: NetlinkSocket, expected: Expected) -> str:
    """Say what is wrong with the sets of a list; empty if nothing is."""
    frame = expected.frame
    answers = link.query([messages.get_set(TABLE, frame.set_name(end)) for end in SETS])
    for end, answer in zip(SETS, answers, strict=True):
        count = None if isinstance(answer, int) else netlink.decode_set(answer.body).count
        if count is not None and count != (wanted := expected.counts.get(end, count)):
            return f"set {frame.set_name(end)} has {count} elements, not {wanted}"
    questions = [
        ElementEncoder(TABLE, frame.set_name(set_end(len(address), length))).request(
            GET_ELEMENTS, netlink.encode_key(address)
        )
        for address, length in expected.sample
    ]
    if expected.is_live:
        questions.append(ElementEncoder(TABLE, frame.live).request(GET_ELEMENTS, netlink.encode_key(b"\x02")))
    if any(isinstance(answer, int) for answer in (link.query(questions) if questions else ())):
        return "elements of its sets are missing"
    return ""
