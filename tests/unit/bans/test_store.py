"""What is written to the store comes back."""

import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.addresses import Network, network_of, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode, Offence, claim_key
from monitor.model.cursors import Cursor
from monitor.state.changes import Allowed, StateChanges
from monitor.state.store import Store
from tests.unit.bans.store_support import BAN, NETWORK, OFFENCE, changes

networks = st.one_of(
    st.builds(network_of, st.binary(min_size=4, max_size=4), st.integers(0, 32)),
    st.builds(network_of, st.binary(min_size=16, max_size=16), st.integers(0, 128)),
)
times = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
strengths, modes = st.sampled_from(Strength), st.sampled_from(Mode)
bans = st.builds(Ban, networks, strengths, times, times, texts, texts, modes)
offences = st.builds(
    Offence, times, networks, texts, strengths, modes, st.floats(0, 1e12), st.integers(0, 2**40), texts, st.binary()
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is to be, in a directory that is not there yet."""
    return tmp_path / "state" / "nodewarden.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Return an empty store."""
    opened = Store.open(path)
    yield opened
    opened.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(bans, max_size=20), st.lists(offences, max_size=20))
def test_bans_and_offences_come_back(
    tmp_path_factory: pytest.TempPathFactory, some: list[Ban], more: list[Offence]
) -> None:
    """Any network of either family, any text and any finite time is read as it was written, after a restart too."""
    path = tmp_path_factory.mktemp("store") / "nodewarden.db"
    store = Store.open(path)
    store.write(changes(*some, *more))
    store.close()
    store = Store.open(path)
    assert {claim_key(ban): ban for ban in store.bans()} == changes(*some).bans
    assert list(store.offences(float("-inf"))) == sorted(more, key=lambda offence: offence.time_s)
    assert store.notices == []
    store.close()


def test_the_last_word_on_a_ban_counts(store: Store) -> None:
    """Put then removed is gone, removed then put is there, and the strengths of one network are apart."""
    proven = msgspec.structs.replace(BAN, strength=Strength.PROVEN)
    store.write(changes(BAN, proven))
    later = StateChanges()
    later.put_ban(BAN)
    later.remove_ban(claim_key(BAN))
    later.remove_ban(claim_key(proven))
    longer = msgspec.structs.replace(proven, until_s=9000.0)
    later.put_ban(longer)
    store.write(later)
    assert list(store.bans()) == [longer]


def test_places_in_the_sources_come_back(store: Store) -> None:
    """Numbers and the journal's text alike; a new cursor replaces the old one."""
    first = StateChanges()
    first.cursors = {"kernel_log": Cursor("boot", 1), "journal": Cursor("", "s=ab;i=1f")}
    store.write(first)
    second = StateChanges()
    second.cursors = {"kernel_log": Cursor("boot", 2**62)}
    store.write(second)
    assert store.cursors() == {"kernel_log": ("boot", 2**62), "journal": ("", "s=ab;i=1f")}


def test_networks_allowed_by_hand_come_back_until_removed(store: Store) -> None:
    """With reason and time; the guard takes what comes back."""
    office, other = (
        Allowed(parse_network("192.0.2.0/24"), "büro", 5.0),
        Allowed(parse_network("2001:db8::/32"), "", 4.0),
    )
    store.write(changes(office, other))
    assert store.allowed() == [other, office]
    assert office.entry.reason == "büro"
    removal = StateChanges()
    removal.allowed[other.network] = None
    store.write(removal)
    assert store.allowed() == [office]


def test_offences_are_found_by_time_and_by_network(store: Store) -> None:
    """Since a time oldest first, of a network newest first; a prefix around it is another network."""
    many = [msgspec.structs.replace(OFFENCE, time_s=float(n), step=n) for n in range(10)]
    prefix = msgspec.structs.replace(OFFENCE, network=parse_network("198.51.100.0/24"))
    store.write(changes(*many, prefix))
    assert list(store.offences(7.0)) == [*many[7:], prefix]
    assert store.offences_of(NETWORK, 3) == [many[9], many[8], many[7]]
    assert store.offences_of(prefix.network, 3) == [prefix]


def test_the_history_is_bounded_in_age_and_number(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too old goes, then the oldest beyond the number; the newest stay."""
    monkeypatch.setattr("monitor.state.store._PURGE_ROWS", 7)
    store.write(changes(*(msgspec.structs.replace(OFFENCE, time_s=float(n)) for n in range(100))))
    assert store.purge(50.0, 20) == 80
    assert [offence.time_s for offence in store.offences(0.0)] == [float(n) for n in range(80, 100)]


def test_reading_goes_on_while_something_is_written(store: Store) -> None:
    """A reader half way through sees what was there when it began, whatever is written meanwhile."""
    store.write(changes(*(msgspec.structs.replace(BAN, network=Network(n.to_bytes(4), 32)) for n in range(3000))))
    reading = store.bans()
    next(reading)
    removal = StateChanges()
    for n in range(3000):
        removal.remove_ban(claim_key(msgspec.structs.replace(BAN, network=Network(n.to_bytes(4), 32))))
    store.write(removal)
    assert sum(1 for _ in reading) == 2999
    assert list(store.bans()) == []


def test_what_makes_no_sense_does_not_keep_the_rest_from_being_saved(store: Store) -> None:
    """A fault of our own, such as a time that is no number, costs that one change and is told."""
    broken = msgspec.structs.replace(OFFENCE, time_s=float("nan"))
    hostile = msgspec.structs.replace(BAN, reason="user \udcff\x00 from 8.8.8.8")
    store.write(changes(hostile, broken), durable=True)
    assert [ban.reason for ban in store.bans()] == ["user \\udcff\x00 from 8.8.8.8"]
    assert "1 changes were invalid" in store.notices[0]


def test_only_the_daemons_group_may_read(path: Path, store: Store) -> None:
    """The directory is 0750 and the file 0640, and so is the log beside it, whoever's offences it holds."""
    store.write(changes(BAN))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    wal = path.with_name(path.name + "-wal")
    assert [stat.S_IMODE(file.stat().st_mode) for file in (path, wal)] == [0o640, 0o640]
