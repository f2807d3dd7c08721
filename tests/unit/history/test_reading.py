"""Pages and reports of the history, read from the file."""

import sqlite3
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.addresses import Network, host, network_of, parse_network
from monitor.model.alerts import RecordedEvidence, Strength
from monitor.model.bans import Mode, Offence, Spared, Standing
from monitor.model.errors import TemporaryError
from monitor.state.changes import StateChanges, TallyKey
from monitor.state.history import HistoryQuery, Position, reading
from monitor.state.store import Store

EVERYTHING = HistoryQuery(0.0, 1e9)
EVIDENCE = RecordedEvidence(5, 5, 600.0, 90.0, 100.0, "failures in sshd", ("root",), "Failed password for root", "why")


def offence(number: int, time_s: float, detector: str = "sshd", **more: object) -> Offence:
    """Return an observed offence of the address with this number."""
    network = host(bytes((198, 51, number // 256, number % 256)))
    one = Offence(time_s, network, detector, Strength.PROVEN, Mode.OBSERVE, 600.0, 0, "5 failures")
    return msgspec.structs.replace(one, evidence=msgspec.json.encode(EVIDENCE), **more)


def write(path: Path, offences: list[Offence], times: int = 1) -> None:
    """Store offences as the daemon does, each counted so many times."""
    store = Store.open(path)
    changes = StateChanges()
    for one in offences:
        changes.offences.append(one)
        changes.tallies[TallyKey(int(one.time_s // 3600), one.detector, one.strength, one.outcome)] += times
    store.write(changes)
    store.close()


def read(path: Path, query: HistoryQuery, limit: int = 7) -> list[Offence]:
    """Read all pages."""
    found: list[Offence] = []
    before: Position | None = None
    with reading(path) as reader:
        while True:
            entries, before = reader.page(query, before, limit)
            found += entries
            if before is None:
                return found


MIXED = [
    offence(1, 100.0),
    offence(1, 4000.0, "port_scan", strength=Strength.SPOOFABLE, standing=Standing.CLIENT),
    offence(2, 4000.0, mode=Mode.ENFORCE),
    offence(3, 8000.0, spared=Spared.ALLOWLISTED, standing=Standing.ALLOWLISTED),
    offence(4, 8000.0, mode=Mode.ENFORCE, spared=Spared.OVER_BUDGET),
    offence(5, 9000.0, network=network_of(bytes((198, 51, 0, 0)), 24), detector="prefix"),
]


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    """Newest first, on pages of any length, with all that the alert said: strength, doubt, count, account, line."""
    write(tmp_path / "db", MIXED)
    for limit in (1, 2, 3, 6, 50):
        found = read(tmp_path / "db", EVERYTHING, limit)
        assert sorted(found, key=repr) == sorted(MIXED, key=repr)
        assert all(one.time_s >= two.time_s for one, two in pairwise(found))
    evidence = msgspec.json.decode(found[0].evidence, type=RecordedEvidence)
    assert evidence == EVIDENCE


@given(
    offences=st.lists(
        st.builds(
            offence,
            st.integers(0, 40),
            st.floats(0.0, 1e6),
            st.sampled_from(["sshd", "port_scan"]),
            mode=st.sampled_from(Mode),
            spared=st.sampled_from([None, *Spared]),
        ),
        max_size=30,
    ),
    query=st.builds(
        HistoryQuery,
        st.floats(0.0, 5e5),
        st.floats(5e5, 1e6),
        st.booleans(),
        st.sampled_from(["", "sshd", "none"]),
        st.sampled_from([None, *map(parse_network, ("198.51.0.3", "198.51.0.0/28", "0.0.0.0/0", "2001:db8::/32"))]),
    ),
    limit=st.integers(1, 9),
)
@settings(max_examples=40, deadline=None)
def test_a_query_finds_what_it_says(
    tmp_path_factory: pytest.TempPathFactory, offences: list[Offence], query: HistoryQuery, limit: int
) -> None:
    """Whatever there is, whatever is asked and however long pages are: all that match, once, and nothing else."""
    path = tmp_path_factory.mktemp("history") / "db"
    write(path, offences)

    def is_wanted(one: Offence) -> bool:
        return (
            query.since_s <= one.time_s < query.until_s
            and (not query.not_banned or one.outcome != "ban")
            and query.detector in ("", one.detector)
            and (query.source is None or query.source.overlaps(one.network))
        )

    wanted = [one for one in offences if is_wanted(one)]
    assert sorted(read(path, query, limit), key=repr) == sorted(wanted, key=repr)
    with reading(path) as reader:
        assert reader.report(query)["entries"] == len(wanted)


def test_a_wider_ban_is_found_by_an_address_in_it(tmp_path: Path) -> None:
    """Who asks for an address also learns of its prefix."""
    write(tmp_path / "db", MIXED)
    found = read(tmp_path / "db", EVERYTHING._replace(source=parse_network("198.51.0.77")))
    assert [one.detector for one in found] == ["prefix"]


def test_a_report_counts_by_detector_source_prefix_and_hour(tmp_path: Path) -> None:
    """And names the sources that are no strangers."""
    write(tmp_path / "db", MIXED)
    with reading(tmp_path / "db") as reader:
        report = reader.report(EVERYTHING)
    assert {one["detector"]: one["outcomes"] for one in report["detectors"]} == {
        "sshd": {"observe": 1, "ban": 1, "allowlisted": 1, "over_budget": 1},
        "port_scan": {"observe": 1},
        "prefix": {"observe": 1},
    }
    assert {one["detector"]: one["known"] for one in report["detectors"] if one["known"]} == {
        "sshd": {"allowlisted": 1},
        "port_scan": {"client": 1},
    }
    assert [(one["hour_s"], sum(one["outcomes"].values())) for one in report["hours"]] == [(0, 1), (3600, 2), (7200, 3)]
    top = report["sources"][0]
    assert (str(top["network"]), top["count"], sorted(top["detectors"])) == ("198.51.0.1", 2, ["port_scan", "sshd"])
    assert [(str(one["network"]), one["standing"]) for one in report["known"]] == [
        ("198.51.0.3", "allowlisted"),
        ("198.51.0.1", "client"),
    ]
    (prefix,) = report["prefixes"]
    assert (str(prefix["network"]), prefix["sources"]) == ("198.51.0.0/24", 5)


def test_what_has_no_entry_is_counted(tmp_path: Path) -> None:
    """A flood is counted by detector and hour; sources are of the entries only."""
    write(tmp_path / "db", MIXED, times=1000)
    with reading(tmp_path / "db") as reader:
        report = reader.report(EVERYTHING)
        of_source = reader.report(EVERYTHING._replace(source=parse_network("198.51.0.1")))
    assert sum(sum(one["outcomes"].values()) for one in report["detectors"]) == 6000
    assert sum(sum(one["outcomes"].values()) for one in report["hours"]) == 6000
    assert report["entries"] == 6
    assert sum(sum(one["outcomes"].values()) for one in of_source["detectors"]) == 3


def test_rows_that_were_changed_are_no_rows(tmp_path: Path) -> None:
    """A flipped bit names another source: such an entry is left out, and counted."""
    path = tmp_path / "db"
    write(path, MIXED)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE offences SET address = x'c0000201' WHERE detector = 'port_scan'")
    connection.execute("UPDATE tallies SET count = 99 WHERE detector = 'port_scan'")
    connection.commit()
    connection.close()
    assert len(read(path, EVERYTHING)) == len(MIXED) - 1
    with reading(path) as reader:
        report = reader.report(EVERYTHING)
    assert (report["entries"], report["unreadable"]) == (len(MIXED) - 1, 1)
    assert "port_scan" not in [one["detector"] for one in report["detectors"]]


def test_counts_add_up_over_restarts(tmp_path: Path) -> None:
    """The counts of an hour are added to what an earlier run stored."""
    for _ in range(3):
        write(tmp_path / "db", [offence(1, 100.0)])
    with reading(tmp_path / "db") as reader:
        assert reader.report(EVERYTHING)["hours"] == [{"hour_s": 0, "outcomes": {"observe": 3}}]


def test_what_was_spared_is_not_counted_by_escalation(tmp_path: Path) -> None:
    """The daemon reads the offences of its history, at most so many, the newest, oldest first."""
    write(tmp_path / "db", MIXED)
    store = Store.open(tmp_path / "db")
    assert [one.time_s for one in store.offences(0.0)] == [100.0, 4000.0, 4000.0, 9000.0]
    assert [one.time_s for one in store.offences(0.0, 1)] == [9000.0]
    assert store.history_rows == len(MIXED)
    store.close()


def test_age_and_number_bound_it(tmp_path: Path) -> None:
    """What is old goes with its counts; of too many the oldest that anyone can forge, and the store says so."""
    path = tmp_path / "db"
    forged = [offence(number, 8000.0 + number, "port_scan", strength=Strength.SPOOFABLE) for number in range(9)]
    write(path, [*MIXED, *forged])
    store = Store.open(path)
    assert store.purge(3600.0, 100) == 1
    assert store.removed_early == 0
    assert store.purge(3600.0, 6) == 8
    assert (store.removed_early, store.history_rows) == (8, 6)
    store.close()
    left = read(path, EVERYTHING)
    assert sum(one.strength is Strength.PROVEN for one in left) == 4
    with reading(path) as reader:
        assert reader.report(EVERYTHING)["hours"][0]["hour_s"] == 3600


def test_another_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Only the daemon converts a file."""
    write(tmp_path / "db", [])
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(TemporaryError, match="start the daemon once"), reading(tmp_path / "db"):
        pass


def test_networks_of_ipv6_are_found(tmp_path: Path) -> None:
    """By the address, the prefix and what is around it."""
    one = msgspec.structs.replace(offence(1, 100.0), network=Network(bytes.fromhex("20010db8") + bytes(12), 64))
    write(tmp_path / "db", [one])
    for text in ("2001:db8::7", "2001:db8::/64", "2001:db8::/32", "::/0"):
        assert read(tmp_path / "db", EVERYTHING._replace(source=parse_network(text))) == [one]
    assert read(tmp_path / "db", EVERYTHING._replace(source=parse_network("2001:db8:0:1::/64"))) == []
