"""A start handles bans by the thousand: with the same result as one by one."""

import itertools
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from monitor.bans.end_times import EndTimes
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.merge import Merged, Merging, merge
from monitor.model.addresses import Network, host, network_of, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban, ClaimOrigin, Held, Mode
from monitor.state.ban_rows import read_bans
from monitor.state.rows import Row, ban_row
from monitor.state.store import Store
from monitor.state.store_reader import DamagedFile
from monitor.state.tables import TABLES, checked
from tests.unit.bans.store_support import BAN, by_hand, changes

NOW_S = 1000.0


def some_claims(seed: int, count: int) -> list[Ban]:
    """Return claims of few networks, in the order of the store: several of one network, ended, observed, of ports."""
    source = random.Random(seed)
    found: dict[tuple[object, ...], Ban] = {}
    for _ in range(count):
        address = source.choice([bytes((11, 0, 0, source.randrange(64))), bytes(15) + source.randbytes(1)])
        bits = 8 * len(address)
        network = source.choice(
            [host(address)] * 8 + [network_of(address, bits - 3), Network(address, bits, b"\6\0\x16")]
        )
        claim = Ban(
            network,
            source.choice(tuple(Strength)),
            source.choice([0.0, 900.0, 1500.0]),
            source.choice([999.0, 1001.0, 2000.0, 5000.0]),
            source.choice(["sshd", "nginx"]),
            "why",
            source.choice([Mode.ENFORCE, Mode.ENFORCE, Mode.OBSERVE]),
            source.choice([ClaimOrigin.DETECTOR, ClaimOrigin.PEER]),
        )
        found[network, claim.strength, claim.origin, claim.detector] = claim
    order = sorted(
        found.values(),
        key=lambda one: (one.network.address, one.network.prefix_length, one.network.ports, one.strength, one.origin),
    )
    return list(order)


def by_address(claims: Sequence[Ban]) -> list[list[Ban]]:
    """Return the claims in batches, as the store does."""
    groups = [list(group) for _, group in itertools.groupby(claims, key=lambda one: one.network.address)]
    return [list(itertools.chain.from_iterable(groups[at : at + 5])) for at in range(0, len(groups), 5)]


def in_batches(claims: Sequence[Ban], held: Sequence[Held]) -> list[Merged]:
    """Merge as a start does."""
    merging = Merging(held, NOW_S)
    result = []
    for batch in by_address(claims):
        plain, others = merging.split(batch)
        assert plain.keys == [ban.key for ban in plain.bans]
        missing = set(map(id, plain.missing))
        result += [Merged(ban, is_news=False, is_held=id(ban) not in missing) for ban in plain.bans]
        result += merging.claims(others)
    return [*result, *merging.rest()]


@pytest.mark.parametrize("seed", range(30))
def test_batches_are_merged_as_one(seed: int) -> None:
    """Taking plain bans out of each batch changes nothing of what continues, is news, or is held."""
    claims = some_claims(seed, 120)
    source = random.Random(seed)
    places = {(ban.network, ban.strength) for ban in claims if not ban.network.ports and source.random() < 0.5}
    held = [Held(*place, source.choice([1500.0, 2001.0, 9000.0])) for place in places]
    held += [Held(parse_network("192.0.2.1"), Strength.PROVEN, 1500.0)]

    def key(one: Merged) -> bytes:
        return msgspec.msgpack.encode(one)

    assert sorted(map(key, in_batches(claims, held))) == sorted(map(key, merge(claims, held, NOW_S)))


def test_the_ledger_takes_many_as_it_takes_one() -> None:
    """Counts of every kind, ends and the order in which bans yield are those of bans entered one by one."""
    source = random.Random(1)
    bans = [
        Ban(
            host(b"\x0b" + number.to_bytes(3) + (bytes(12) if number % 3 else b"")),
            source.choice(tuple(Strength)),
            0.0,
            source.uniform(1.0, 9000.0),
            source.choice(["sshd", "list"]),
            "why",
            Mode.ENFORCE,
            source.choice(tuple(ClaimOrigin)),
        )
        for number in range(300)
    ]
    many, single = Ledger(max_bans=1000), Ledger(max_bans=1000)
    for half in (bans[:150], bans[150:]):
        many.weakest(99)  # so that it knows some weak ones, which then are no longer the weakest
        many.put_hosts(half, [ban.key for ban in half])
        for ban in half:
            single.put(ban)
    assert many.by_detector() == single.by_detector()
    assert [many.count_by_rank(kind) for kind in range(48)] == [single.count_by_rank(kind) for kind in range(48)]
    assert (many.in_force, many.bulk, list(many.all_claims())) == (300, single.bulk, list(single.all_claims()))
    assert many.weakest(99) == single.weakest(99)
    for now_s in (500.0, 3000.0, 8000.0, 9001.0):
        assert many.expire(now_s) == single.expire(now_s)
    assert (len(many), many.in_force) == (0, 0)


def test_the_ledger_refuses_a_claim_that_it_has() -> None:
    """Otherwise the earlier claim would be lost, and counted for ever."""
    ledger = Ledger(max_bans=10)
    ledger.put(BAN)
    with pytest.raises(ValueError, match="claims already"):
        ledger.put_hosts([BAN], [BAN.key])
    assert ledger.in_force == 1


def test_ends_entered_together_are_due_as_others_are() -> None:
    """Those of the current period, too."""
    ends = EndTimes()
    list(ends.pop_due(5000.0, lambda _: None))
    due = {b"a": 4000.0, b"b": 5000.5, b"c": 9000.0}
    ends.add_all(list(due), due.values())
    assert ends.count == 3
    assert [list(ends.pop_due(now_s, due.get)) for now_s in (5000.0, 5001.0, 9000.0)] == [[b"a"], [b"b"], [b"c"]]


@pytest.mark.parametrize("entries", [0, 3, 400])
def test_the_guard_finds_one_allowed_address_among_many(entries: int) -> None:
    """At the edges of entries and within them, of both families, in any order."""
    source = random.Random(entries)
    allowed = [network_of(bytes((10, *source.randbytes(3))), source.randrange(20, 33)) for _ in range(entries)]
    allowed += [network_of(b"\x20\x01" + source.randbytes(14), source.randrange(40, 129)) for _ in range(entries)]
    guard = Guard([AllowEntry(network, "why") for network in allowed])
    edges = [address for network in allowed for address in (network.address, network.last())]
    beside = [(int.from_bytes(one) + step).to_bytes(len(one)) for one in edges for step in (-1, 1)]
    others = [bytes((10, *source.randbytes(3))) for _ in range(200)] + [b"\x20\x01" + source.randbytes(14)] * 2
    free = [one for one in (*beside, *others) if not guard.shields(one)]
    source.shuffle(free)
    assert not guard.shields_any(free)
    assert not guard.shields_any([])
    for one in (*edges, *(one for one in beside if guard.shields(one)), bytes((127, 0, 0, 9)), bytes(16)):
        assert guard.shields_any([one])
        assert guard.shields_any([*free[:50], one, *free[50:100]])


def raw(row: Row) -> Row:
    """Return a row with its checksum as the file has it: texts are bytes."""
    return tuple(one.encode() if isinstance(one, str) else one for one in checked(row))


def test_columns_are_read_as_rows_are() -> None:
    """All kinds of claims come back as they were written."""
    claims = some_claims(3, 200)
    assert read_bans([raw(ban_row(claim)) for claim in claims]) == (claims, 0)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (0, b"\0\0\0"),
        (0, None),
        (1, 129),
        (1, "32"),
        (2, "none"),
        (3, "none"),
        (4, float("inf")),
        (5, float("-inf")),
        (5, "never"),
        (8, "nobody"),
        (9, b"\1"),
    ],
)
def test_a_bad_row_costs_only_itself(column: int, value: object) -> None:
    """Whatever is wrong with it, with a checksum that matches or one that does not."""
    claims = some_claims(4, 60)
    rows = [raw(ban_row(claim)) for claim in claims]
    bad = list(ban_row(claims[7]))
    bad[column] = value
    without = [*claims[:7], *claims[8:]]
    assert read_bans([*rows[:7], raw(tuple(bad)), *rows[8:]]) == (without, 1)
    flipped = (*rows[7][:-1], rows[7][-1] ^ 1)
    assert read_bans([*rows[:7], flipped, *rows[8:]]) == (without, 1)


def test_a_network_is_never_divided_between_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many claims it has, and however few rows are read at a time; a damaged text costs its row."""
    monkeypatch.setattr("monitor.state.store_reader._READ_ROWS", 3)
    claims = [
        msgspec.structs.replace(BAN, network=host(bytes((11, 0, 0, number))), detector=f"d{claim}")
        for number in range(9)
        for claim in range(1 + number % 5)
    ]
    path = tmp_path / "nodewarden.db"
    with closing(Store.open(path)) as store:
        store.write(changes(*claims))
        batches = list(store.ban_batches())
        assert list(itertools.chain.from_iterable(batches)) == claims
        addresses = [{ban.network.address for ban in batch} for batch in batches]
        assert len(batches) > 3
        assert sum(map(len, addresses)) == len(set().union(*addresses)) == 9
        by_hand(path, "UPDATE bans SET reason = CAST(x'ff' AS TEXT) WHERE detector = 'd4'")
        assert list(store.bans()) == [claim for claim in claims if claim.detector != "d4"]
    with closing(Store.open(path)) as again:
        assert "do not match their checksums" in again.notices[0]


def damaged(path: Path) -> list[Ban]:
    """Write a store and damage its fourth ban; return the bans."""
    claims = [msgspec.structs.replace(BAN, network=host(bytes((11, 0, 0, number)))) for number in range(20)]
    with closing(Store.open(path)) as store:
        store.write(changes(*claims))
    by_hand(path, "UPDATE bans SET until_s = until_s + 1 WHERE address = x'0b000003'")
    return claims


def test_a_start_finds_a_damaged_row_when_it_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it got before is as it was written; opened again, the file is set aside, as without leaving the check."""
    monkeypatch.setattr("monitor.state.store_reader._READ_ROWS", 2)
    path = tmp_path / "nodewarden.db"
    claims = damaged(path)
    with closing(Store.open(path, checks_bans=False)) as store:
        assert store.notices == []
        found: list[Ban] = []
        with pytest.raises(DamagedFile, match="do not match their checksums"):
            found.extend(store.bans())
        assert found == claims[: len(found)]
        assert 0 < len(found) < 3
    with closing(Store.open(path)) as again:
        assert "do not match their checksums" in again.notices[0]
        assert list(again.bans()) == [*claims[:3], *claims[4:]]


def test_a_file_that_was_read_once_is_damaged_later(tmp_path: Path) -> None:
    """The row is skipped and reported, as if all had been checked at the opening."""
    path = tmp_path / "nodewarden.db"
    claims = [msgspec.structs.replace(BAN, network=host(bytes((11, 0, 0, number)))) for number in range(20)]
    with closing(Store.open(path, checks_bans=False)) as store:
        store.write(changes(*claims))
        assert list(store.bans()) == claims
        by_hand(path, "UPDATE bans SET until_s = until_s + 1 WHERE address = x'0b000003'")
        assert list(store.bans()) == [*claims[:3], *claims[4:]]
        assert "1 rows of bans" in store.notices[0]


def test_a_row_that_is_no_ban_is_no_damage(tmp_path: Path) -> None:
    """With a checksum that matches, it is skipped by a start that checks while it reads."""
    path = tmp_path / "nodewarden.db"
    with closing(Store.open(path)) as store:
        store.write(changes(BAN, msgspec.structs.replace(BAN, detector="other")))
    row = list(ban_row(BAN))
    row[TABLES["bans"].split(", ").index("strength")] = "none"
    by_hand(path, "DELETE FROM bans WHERE detector = 'port_scan'")
    with closing(sqlite3.connect(path)) as connection, connection:
        marks = ", ".join("?" * (len(row) + 1))
        connection.execute(f"INSERT INTO bans ({TABLES['bans']}, row_check) VALUES ({marks})", checked(tuple(row)))
    with closing(Store.open(path, checks_bans=False)) as store:
        assert [ban.detector for ban in store.bans()] == ["other"]
        assert "1 rows of bans" in store.notices[0]


def test_bans_of_imports_lists_and_peers_are_missed_at_once() -> None:
    """Whether there are any is known without a walk; of detectors' bans, and with several claims, it is not."""
    peer = msgspec.structs.replace(BAN, network=host(bytes((11, 0, 0, 1))), origin=ClaimOrigin.PEER)
    ledger = Ledger(max_bans=10)
    ledger.put(BAN)
    assert ledger.has_none_of((ClaimOrigin.PEER, ClaimOrigin.LIST))
    assert not ledger.has_none_of((ClaimOrigin.DETECTOR,))
    assert (ledger.keys_of((ClaimOrigin.PEER,)), ledger.keys_of((ClaimOrigin.DETECTOR,))) == ([], [BAN.key])
    ledger.put(msgspec.structs.replace(BAN, origin=ClaimOrigin.PEER, until_s=2000.0))
    assert [claim.origin for claim in ledger.claims_from((ClaimOrigin.PEER,))] == [ClaimOrigin.PEER]
    ledger.put(peer)
    assert ledger.keys_of((ClaimOrigin.LIST, ClaimOrigin.PEER)) == [BAN.key, peer.key]
