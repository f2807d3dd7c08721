"""Where addresses are registered: read from databases of every usual kind, and safely from files that are none."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.enrichment import registries
from monitor.cli.enrichment.registries import Registration, Registries, find, understand
from monitor.model.addresses import parse_network
from tests.support.mmdb import Raw, database, pointer, write

_ASN = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example Net"}
_BOTH = "AS64500 Example Net, DE"
_COUNTRY = {"country": {"iso_code": "NL", "names": {"en": "The Netherlands"}}}


def _look_up(paths: list[Path], text: str) -> tuple[Registration, list[str]]:
    opened = Registries(paths, is_chosen=True)
    found = opened.look_up(parse_network(text))
    opened.close()
    return found, opened.faults


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (_ASN, "AS64500 Example Net"),
        (_COUNTRY, "NL"),
        ({"registered_country": {"iso_code": "DE"}}, "DE"),
        ({"asn": "AS64500", "as_name": "Example Net", "country": "Germany", "country_code": "DE"}, _BOTH),
        ({"asn": "AS64500", "name": "Example Net", "country": "DE"}, _BOTH),
        ({"is_tor_exit_node": 1}, ""),
        ({"asn": "ASx", "as_name": 7, "country": ["DE"]}, ""),
        ([], ""),
        (7, ""),
    ],
)  # fmt: skip
def test_records_of_every_usual_database_are_understood(record: Any, said: str) -> None:
    """MaxMind and DB-IP number autonomous systems, IPinfo writes `AS64500`; what is of no such kind says nothing."""
    assert str(understand(record)) == said


def test_two_databases_say_more_than_one(tmp_path: Path) -> None:
    """Number and name are from one file, the country from another; networks that neither knows stay unknown."""
    asn = write(tmp_path / "a.mmdb", {"198.51.100.0/24": _ASN, "2001:db8::/32": _ASN})
    country = write(tmp_path / "c.mmdb", {"198.51.0.0/16": _COUNTRY}, "DBIP-Country-Lite")
    opened = Registries([asn, country], is_chosen=True)
    said = {
        text: str(opened.look_up(parse_network(text)))
        for text in ("198.51.100.7", "198.51.100.8", "198.51.101.0/24", "2001:db8::1", "192.0.2.1")
    }
    opened.close()
    assert said == {
        "198.51.100.7": "AS64500 Example Net, NL",
        "198.51.100.8": "AS64500 Example Net, NL",
        "198.51.101.0/24": "NL",
        "2001:db8::1": "AS64500 Example Net",
        "192.0.2.1": "",
    }
    assert opened.faults == []
    assert _look_up([country], "198.50.0.0/15")[0] == Registration()


def test_of_a_wider_network_the_first_address_is_shown_and_called_so(tmp_path: Path) -> None:
    """Others may own the rest of it."""
    path = write(tmp_path / "a.mmdb", {"198.51.100.0/24": _ASN})
    assert str(_look_up([path], "198.51.100.0/22")[0]) == "AS64500 Example Net (its first address)"


def test_a_database_of_ipv4_knows_no_ipv6_address_and_stays_in_use(tmp_path: Path) -> None:
    """Its library raises for them."""
    path = write(tmp_path / "a.mmdb", {"198.51.100.0/24": _ASN}, version=4)
    assert _look_up([path], "2001:db8::1") == (Registration(), [])
    assert _look_up([path], "198.51.100.1")[0].asn == 64500


def _bomb() -> bytes:
    """Return a database with a record of arrays of pointers, each to the next array: 200 to the power of eight."""
    data, offsets = bytearray(b"\xa1\x01"), [0]
    for _ in range(8):
        offset = len(data)
        data += bytes([29, 4, 200 - 29]) + bytes(pointer(offsets[-1])) * 200
        offsets.append(offset)
    return database({"192.0.2.0/24": Raw(data), "198.51.100.0/24": pointer(offsets[-1])})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"no database", "no usable database"),
        (database({"198.51.100.0/24": _ASN})[:200], "no usable database"),
        (database({"198.51.100.0/24": _ASN}, node_count=1 << 31), ""),
        (database({"198.51.100.0/24": _ASN}, record_size=7), "no usable database"),
        (database({"198.51.100.0/24": pointer(0)}), "not used any more"),
        (database({"198.51.100.0/24": pointer(1 << 30)}), "not used any more"),
        (database({"198.51.100.0/24": Raw(b"\xff\xff\xff\xff")}), "not used any more"),
        (database({"198.51.100.0/24": Raw(b"\x43\xff\xfe\xfd")}), "not used any more"),
        (_bomb(), "not used any more"),
        (database({"198.51.100.0/24": {"is_anonymous": 1}}, "GeoIP2-Anonymous-IP"), "neither AS numbers nor countries"),
    ],
)
def test_a_file_of_another_kind_is_a_fault_with_a_reason(tmp_path: Path, content: bytes, said: str) -> None:
    """Empty, cut, contradicting itself, without an end, expanding without an end: named once, and nothing is raised."""
    path = tmp_path / "x.mmdb"
    path.write_bytes(content)
    found, faults = _look_up([path], "198.51.100.7")
    assert found == Registration()
    assert len(faults) == 1
    assert said in faults[0]
    assert str(path) in faults[0]


def test_a_record_that_expands_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the library, as older ones, sets no bound."""
    monkeypatch.setattr("maxminddb.decoder._MAX_VALUES", 1 << 62, raising=False)
    monkeypatch.setattr(registries, "_LONGEST_S", 0.05)
    path = tmp_path / "x.mmdb"
    path.write_bytes(_bomb())
    assert "longer than" in _look_up([path], "198.51.100.7")[1][0]


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A FIFO would wait for a writer for ever."""
    os.mkfifo(tmp_path / "fifo")
    paths = [tmp_path / "fifo", tmp_path, tmp_path / "missing"]
    reasons = [fault.partition(": ")[2] for fault in Registries(paths, is_chosen=True).faults]
    assert reasons == ["not a regular file", "not a regular file", "No such file or directory"]


_GOOD = database({"198.51.100.0/24": _ASN, "203.0.113.0/24": _ASN | _COUNTRY, "2001:db8::/32": _COUNTRY})


@given(st.lists(st.tuples(st.integers(0, len(_GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_no_damage_raises(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]) -> None:
    """Any bytes of a database changed: it answers, or becomes a fault."""
    content = bytearray(_GOOD)
    for offset, byte in changes:
        content[offset] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.mmdb"
    path.write_bytes(content)
    opened = Registries([path], is_chosen=True)
    for text in ("198.51.100.7", "203.0.113.1", "2001:db8::1", "0.0.0.0/0"):
        opened.look_up(parse_network(text))
    opened.close()
    assert len(opened.faults) <= 1


def test_usual_places_are_searched(tmp_path: Path) -> None:
    """Numbers first, then countries; other files and missing directories do not matter."""
    for name in ("GeoLite2-City.mmdb", "dbip-country-lite-2026-11.mmdb", "GeoLite2-ASN.mmdb", "README.txt"):
        (tmp_path / name).touch()
    found = [path.name for path in find([tmp_path / "missing", tmp_path])]
    assert found == ["GeoLite2-ASN.mmdb", "dbip-country-lite-2026-11.mmdb", "GeoLite2-City.mmdb"]


def test_without_the_library_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional."""
    monkeypatch.setitem(__import__("sys").modules, "maxminddb", None)
    path = write(tmp_path / "a.mmdb", {"198.51.100.0/24": _ASN})
    (fault,) = Registries([path, path], is_chosen=True).faults
    assert "python3-maxminddb" in fault
