"""`--asn` and `--rdns` add to what commands print; a database that cannot be used takes nothing away."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.cli.main import cli
from monitor.cli.target import Target
from monitor.control.protocol import History, ListBans, Report, Why
from monitor.model.addresses import parse_address
from tests.support.dns_server import SILENT, dns_server, named, wire
from tests.support.mmdb import write
from tests.unit.cli.test_escapes import is_safe

_NAME = wire(b"mail", b"example", b"org")
_REVERSE = wire(b"7", b"100", b"51", b"198", b"in-addr", b"arpa")
_ASN = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example\x1b[2J\nNet"}


def _ban(network: str) -> dict[str, Any]:
    times = {"since_s": 0.0, "until_s": 60.0, "left_s": 60.0}
    more: dict[str, Any] = {"detector": "sshd", "origin": "detector", "reason": "why", "kernel": None, "ports": []}
    return {"network": network, "set": "ban", "strength": "proven", "mode": "enforce", **times, **more}


class _Daemon(Target):
    """Has two bans, and an element of a set that is a range."""

    def ask(self, request: object) -> Any:
        if isinstance(request, ListBans):
            bans = [_ban(network) for network in ("198.51.100.7", "203.0.113.0/24", "192.0.2.1-192.0.2.9")]
            return {"bans": bans, "cursor": ""}
        if isinstance(request, History):
            past = {"time_s": 0.0, "what": "banned", "standing": "", "network": "198.51.100.7"}
            return {"entries": [past], "before": None}
        assert isinstance(request, Why)
        empty: dict[str, Any] = {key: [] for key in ("bans", "foreign", "leaked", "counting", "history")}
        return {"network": request.network, "allowlist": None, "witnesses": {}, **empty}

    def read_history(self, request: History | Report, config_path: Path) -> Any:
        return self.ask(request)


def _run(*words: str) -> Result:
    command, arguments = cli.commands[words[0]], words[1:]
    done = CliRunner().invoke(command, arguments, obj=_Daemon(Path("/nowhere")))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


@pytest.fixture
def mmdb(tmp_path: Path) -> str:
    return str(write(tmp_path / "asn.mmdb", {"198.51.100.0/24": _ASN}))


def test_list_has_more_columns(mmdb: str) -> None:
    """Networks have no reverse name, ranges are looked up nowhere; what the file says is escaped."""
    with dns_server(named({_REVERSE: _NAME}, {_NAME: parse_address("198.51.100.7")})) as (address, port):
        done = _run("list", "--asn", "--mmdb", mmdb, "--rdns", "--resolver", f"{address}#{port}")
    assert done.exit_code == 0
    assert is_safe(done.output)
    assert [line.split() for line in done.output.splitlines()] == [
        ["NETWORK", "SET", "ENDS", "IN", "DETECTOR", "REGISTERED", "TO", "CLAIMS", "TO", "BE", "REASON"],
        ["198.51.100.7", "ban", "1m", "sshd", "AS64500", "Example\\x1b[2J\\nNet", "mail.example.org",
         "(confirmed)", "why"],
        ["203.0.113.0/24", "ban", "1m", "sshd", "why"],
        ["192.0.2.1-192.0.2.9", "ban", "1m", "sshd", "why"],
    ]  # fmt: skip


@pytest.mark.parametrize("words", [["list", "--json"], ["export", "--format", "json"]])
def test_json_names_what_is_not_known(mmdb: str, words: list[str]) -> None:
    """Null or empty, and never another thing."""
    with dns_server(named({}, {})) as (address, port):
        done = _run(*words, "--asn", "--mmdb", mmdb, "--rdns", "--resolver", f"{address}#{port}")
    assert done.output.isascii()
    first, second, third = (one["enrichment"] for one in json.loads(done.output))
    known = {"asn": 64500, "as_name": "Example\x1b[2J\nNet", "country": ""}
    unknown = {"asn": None, "as_name": "", "country": ""}
    assert first == known | {"claimed_name": "", "is_claim_confirmed": None}
    assert second == third == unknown | {"claimed_name": None, "is_claim_confirmed": None}


@pytest.mark.parametrize("command", [["why", "198.51.100.7"], ["history"]])
def test_text_says_whose_claim_a_name_is(mmdb: str, command: list[str]) -> None:
    """The other end chose it."""
    with dns_server(named({_REVERSE: _NAME}, {})) as (address, port):
        done = _run(*command, "--asn", "--mmdb", mmdb, "--rdns", "--resolver", f"{address}#{port}")
    assert "  registered to AS64500 Example\\x1b[2J\\nNet" in done.output.splitlines()
    assert "  claims to be mail.example.org: that name does not have this address" in done.output.splitlines()
    assert is_safe(done.output)


def test_a_broken_database_takes_nothing_away(tmp_path: Path) -> None:
    """The list is printed, the fault is named, and the exit code says that not all was done."""
    path = tmp_path / "x.mmdb"
    path.write_bytes(b"no database")
    done = _run("list", "--asn", "--mmdb", str(path))
    assert done.exit_code == 1
    assert "198.51.100.7" in done.stdout
    assert f"nodewarden: {path}: no usable database" in done.output


def test_silence_of_dns_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong with what was asked for."""
    monkeypatch.setattr("monitor.cli.enrichment.reverse_dns._ATTEMPT_S", 0.05)
    with dns_server(lambda *_: SILENT) as (address, port):
        done = _run("list", "--rdns", "--resolver", f"{address}#{port}")
    assert done.exit_code == 0
    assert "note: addresses whose name DNS did not answer: 1" in done.output


def test_without_the_options_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket, no file."""
    for name in ("Registries", "ReverseNames", "find", "servers_of"):
        monkeypatch.setattr(f"monitor.cli.enrichment.enricher.{name}", None)
    for words in (["list"], ["list", "--json"], ["why", "198.51.100.7"], ["history"], ["export"]):
        done = _run(*words)
        assert done.exit_code == 0
        assert "enrichment" not in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "--asn"], "are for --format json"),
        (["list", "--mmdb", "x"], "--mmdb is for --asn"),
        (["list", "--resolver", "192.0.2.1"], "--resolver is for --rdns"),
        (["list", "--rdns", "--resolver", "name"], "is not an IP address"),
        (["list", "--rdns", "--resolver", "192.0.2.1#0"], "is not a port"),
    ],
)
def test_options_that_fit_nothing_are_refused(words: list[str], said: str) -> None:
    """Nothing is done then."""
    done = _run(*words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_no_database_is_a_fault_that_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is printed all the same."""
    monkeypatch.setattr("monitor.cli.enrichment.enricher.find", list)
    done = _run("list", "--asn")
    assert done.exit_code == 1
    assert "no database of AS numbers" in done.output
    assert "REGISTERED TO" not in done.output
    assert "198.51.100.7" in done.stdout
