"""Writes what this node publishes: each slice of changes is one transaction.

It sets the hash, adds one line to the stream, and sets the mark: the number of the line, and a token of this run. The
mark that it replaces must be the one we left there, and the hash must hold as much as we put there; else the server
lost something (it was wiped, or a replica that lagged took over) or somebody else writes in our name, and `equalise`
makes the server equal to what is in force here. Few differences become lines like any others; many go to the hash
alone, and one line (`resync`) tells the readers to read all of it, unless they had read everything before.
"""

import secrets
from collections import deque
from collections.abc import Sequence
from itertools import islice

from monitor.fleet.engine import Change, Kind, Outbox
from monitor.fleet.redis.keys import FleetKeys
from monitor.fleet.redis.lines import MARK_BYTES, RESYNC, Mark, read_mark, read_pairs, split, write_pairs
from monitor.fleet.redis.link import Command, Link
from monitor.fleet.redis.published import Published
from monitor.fleet.redis.transaction import all_of, scan, transact

SLICE = 64
"""Changes in one transaction."""
_BULK = 256
_FEW = 512
"""Differences that are sent as lines."""
_MOST_HELD = 262_144
LINES = 2000
"""What a stream keeps, about; a reader that is further behind reads the hash."""
LINES_S = 3600.0
BELLS = 10_000
MARK_MS = 7 * 86_400_000


class Publisher:
    """Our part of the server. Lives as long as the engine; each session gives it a connection."""

    def __init__(self, keys: FleetKeys, node: bytes, outbox: Outbox) -> None:
        """`node`: our name."""
        self._keys, self._node, self._outbox = keys, node, outbox
        self._own = keys.of(node)
        self._token = secrets.token_hex(8).encode()
        self._number = 0
        """Of our last line."""
        self._is_continuous = False
        """Whether who has read all our lines knows all that is in force: not before the first comparison."""
        self._published = Published()
        self._minutes: deque[tuple[float, int]] = deque()
        self.is_equal = False
        """Whether the server is known to hold what is in force here."""
        self.is_bell_refused = False

    async def publish(self, link: Link, changes: Sequence[Change], now_s: float) -> Mark | None:
        """Write changes, at most SLICE of them, in one transaction; return a mark that is not ours if one was there."""
        told = [change for change in changes if not (change.kind is Kind.UNBAN and change.until_s > 0)]
        for change in changes:
            self._published.take(change)
        commands = self._fields(changes)
        number = self._number
        for line in split(told):
            number += 1
            commands.append(("XADD", self._own.stream, "MAXLEN", "~", LINES, b"%d-0" % number, *write_pairs(line)))
        return await self._write(link, commands, number, now_s, rings=bool(told))

    async def is_intact(self, link: Link) -> tuple[bool, Mark | None]:
        """Return whether the server has what we wrote, and the mark that it has."""
        mark, bans, pardons = await all_of(
            link,
            ("GETRANGE", self._own.mark, 0, MARK_BYTES),
            ("HLEN", self._own.bans),
            ("HLEN", self._own.pardons),
        )
        found = read_mark(mark)
        is_intact = (found, bans, pardons) == (
            Mark(self._number, self._token),
            len(self._published.bans),
            len(self._published.pardons),
        )
        return is_intact, found

    def is_foreign(self, mark: Mark | None) -> bool:
        """Whether another run of a daemon wrote a mark."""
        return mark is not None and mark.token != self._token

    async def equalise(self, link: Link, mark: Mark | None, now_s: float) -> None:
        """Make the server hold what is in force here, and tell the readers."""
        if self.is_foreign(mark) or self._outbox.is_overrun:
            self._is_continuous = False
        before = self._number if self._is_continuous else 0
        self._number = max(self._number, mark.number if mark else int(now_s * 1000) if not self._number else 0)
        held = await self._held(link)
        self._published.clear()
        few: list[Change] | None = [] if mark is not None else None
        missing: list[Change] = []
        for change in self._outbox.whole():
            self._published.take(change)
            if held.pop((change.kind, change.field), None) != hash(change.record):
                missing.append(change)
            if few is not None and len(missing) > _FEW:
                few = None
            if few is None and len(missing) >= _BULK:
                await all_of(link, *self._fields(missing))
                missing = []
        gone = [Change(Kind.PARDON if kind is Kind.PARDON else Kind.UNBAN, field) for kind, field in held]
        if few is not None and len(missing) + len(gone) <= _FEW:
            await self._send_lines(link, missing, gone, now_s)
        else:
            await self._resync(link, missing, gone, before, now_s)
        self._is_continuous = self.is_equal = True

    async def forget(self, link: Link, now_s: float) -> None:
        """Take out of the hashes what has ended, and out of the stream what is old."""
        ended = list(islice(self._published.ended(now_s), _BULK))
        self._minutes.append((now_s, self._number))
        commands: list[Command] = []
        if ended:
            commands += self._removals(ended)
        while self._minutes and self._minutes[0][0] < now_s - LINES_S:
            old = self._minutes.popleft()[1]
            if not self._minutes or self._minutes[0][0] >= now_s - LINES_S:
                commands.append(("XTRIM", self._own.stream, "MINID", "~", b"%d-0" % old))
        expires = self._published.expires_ms(now_s)
        commands += [("PEXPIREAT", key, expires) for key in self._own[:3]]
        commands.append(("PEXPIREAT", self._own.mark, max(int(now_s * 1000) + MARK_MS, expires)))
        await all_of(link, *commands)
        for change in ended:
            self._published.drop(change)

    async def _send_lines(self, link: Link, missing: list[Change], gone: list[Change], now_s: float) -> None:
        """Write differences as lines, or at least the mark, which is another run's."""
        if pardons := [change for change in gone if change.kind is Kind.PARDON]:  # they end by themselves everywhere
            await all_of(link, *self._removals(pardons))
        changes = [*(change for change in gone if change.kind is Kind.UNBAN), *missing]
        for start in range(0, max(len(changes), 1), SLICE):
            await self.publish(link, changes[start : start + SLICE], now_s)

    async def _resync(self, link: Link, missing: list[Change], gone: list[Change], before: int, now_s: float) -> None:
        """Write the rest to the hash, begin the stream anew, and let everybody read the hash."""
        if missing:
            await all_of(link, *self._fields(missing))
        for start in range(0, len(gone), _BULK):
            await all_of(link, *self._removals(gone[start : start + _BULK]))
        number = self._number + 1
        commands: list[Command] = [
            ("DEL", self._own.stream),
            ("XADD", self._own.stream, b"%d-0" % number, RESYNC, b"%d" % before),
        ]
        await self._write(link, commands, number, now_s, rings=True)

    async def _write(
        self, link: Link, commands: list[Command], number: int, now_s: float, *, rings: bool
    ) -> Mark | None:
        expected = Mark(self._number, self._token)
        mark = b"%d %b" % (number, self._token)
        expires = self._published.expires_ms(now_s)
        commands += [("PEXPIREAT", key, expires) for key in self._own[:3]]
        commands.append(("SET", self._own.mark, mark, "PX", max(MARK_MS, expires - int(now_s * 1000)), "GET"))
        bell = ("XADD", self._keys.bell, "MAXLEN", "~", BELLS, "*", "n", self._node)
        results, rung = await transact(link, commands, *([bell] if rings else []))
        self._number = number
        if rung:
            self.is_bell_refused = isinstance(rung[0], Exception)
        replaced = read_mark(results[-1] if results else None)
        if replaced == expected:
            return None
        self.is_equal = False
        return replaced or Mark(0, self._token)

    def _fields(self, changes: Sequence[Change]) -> list[Command]:
        """Return the commands that set and remove fields."""
        commands: list[Command] = []
        for kind, key in ((Kind.BAN, self._own.bans), (Kind.PARDON, self._own.pardons)):
            pairs = [part for change in changes if change.kind is kind for part in (change.field, change.record)]
            if pairs:
                commands.append(("HSET", key, *pairs))
        return commands + self._removals([change for change in changes if change.kind is Kind.UNBAN])

    def _removals(self, changes: Sequence[Change]) -> list[Command]:
        commands: list[Command] = []
        bans = [change.field for change in changes if change.kind is not Kind.PARDON]
        if bans:
            commands.append(("HDEL", self._own.bans, *bans))
        if pardons := [change.field for change in changes if change.kind is Kind.PARDON]:
            commands.append(("HDEL", self._own.pardons, *pardons))
        return commands

    async def _held(self, link: Link) -> dict[tuple[Kind, bytes], int]:
        """Return what the server holds of ours, with a digest of each record."""
        held: dict[tuple[Kind, bytes], int] = {}
        for kind, key in ((Kind.BAN, self._own.bans), (Kind.PARDON, self._own.pardons)):
            cursor = b"0"
            while True:
                cursor, values = await scan(link, key, cursor, _BULK)
                held.update(((kind, one.field), hash(one.record)) for one in read_pairs(kind, values))
                if cursor == b"0":
                    break
                if len(held) > _MOST_HELD:  # somebody with our name filled it
                    await all_of(link, ("DEL", key))
                    return {}
        return held
