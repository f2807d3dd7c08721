"""`nodewarden events` of a real daemon: what happened, in order, also while it is followed and across a restart."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from monitor.daemon.pipeline.event_stream import MAX_EVENTS
from tests.kernel.conftest import Site
from tests.support.daemon import NODEWARDEN, wait_for

pytestmark = pytest.mark.kernel


def test_events_tell_what_happened(site: Site) -> None:
    """A ban of a detector, orders, a refusal, a vanished table and an end are there, as JSON and as lines."""
    site.daemon.start()
    site.scan()
    wait_for(site.banned, "a ban", lambda: site.daemon.log)
    site.daemon.run("ban", "192.0.2.7", "--reason", "tests")
    site.daemon.run("ban", "127.0.0.1")
    site.lab["node"].run("nft", "delete table inet nodewarden")
    wait_for(lambda: "table_change" in kinds(site), "the change of the table", lambda: site.daemon.log)
    site.daemon.run("unban", "192.0.2.7")
    decided = [kind for kind in kinds(site) if kind not in ("problem", "problem_over")]
    assert decided == ["ban", "ban", "allowlisted", "table_change", "end"]
    first, second, *_ = [event for event in events(site) if event["event"] == "ban"]
    assert (first["network"], first["detector"], first["origin"]) == (site.attacker.address4, "port_scan", "detector")
    assert len(first["sample"]) == 15
    assert (second["detector"], second["origin"], second["reason"]) == ("manual", "operator", "tests")
    lines = site.daemon.run("events", "--since", "1h").stdout
    assert "ban 192.0.2.7 for 1h (manual): tests" in lines
    assert "end of ban 192.0.2.7 (manual): lifted" in lines
    assert "not banning 127.0.0.1 (manual): refused: 127.0.0" in lines
    assert site.daemon.run("events", "--since", "0s").stdout == ""


def test_following_survives_a_restart(site: Site) -> None:
    """`--follow` shows new events as they come, waits for a daemon that restarts, and goes on with its events."""
    site.daemon.start()
    out, errors = site.daemon.log_path.with_name("events"), site.daemon.log_path.with_name("errors")
    socket = site.daemon.configuration_path.with_name("control.sock")
    with out.open("w") as stdout, errors.open("w") as stderr:
        reader = site.lab["node"].start(
            *("env", "PYTHONUNBUFFERED=1", NODEWARDEN, "--socket", socket, "events", "--follow", "--json"),
            stdout=stdout,
            stderr=stderr,
        )
    for address in ("192.0.2.1", "192.0.2.2"):
        site.daemon.run("ban", address)
        wait_for(lambda: f'"{address}"' in out.read_text(), f"{address} to be shown", errors.read_text)  # noqa: B023
        if address == "192.0.2.1":
            site.daemon.stop()
            wait_for(lambda: "waiting for the daemon" in errors.read_text(), "the reader to notice", out.read_text)
            site.daemon.start()
    assert "restarted" in errors.read_text()
    shown = [json.loads(line)["network"] for line in out.read_text().splitlines() if '"ban"' in line]
    assert shown == ["192.0.2.1", "192.0.2.2"]
    reader.send_signal(signal.SIGINT)
    assert reader.wait(10) == 0


def test_a_stopped_reader_keeps_no_ban_from_being_made(site: Site, tmp_path: Path) -> None:
    """While it is stopped, bans are made; when it continues, it says exactly how many events it missed."""
    site.daemon.start()
    out, errors = tmp_path / "events", tmp_path / "errors"
    socket = site.daemon.configuration_path.with_name("control.sock")
    with out.open("w") as stdout, errors.open("w") as stderr:
        reader = site.lab["node"].start(
            *("env", "PYTHONUNBUFFERED=1", NODEWARDEN, "--socket", socket, "events", "--follow", "--json"),
            stdout=stdout,
            stderr=stderr,
        )
    site.daemon.run("ban", "192.0.2.1")
    wait_for(lambda: '"192.0.2.1"' in out.read_text(), "the first ban to be shown", errors.read_text)
    seen = last_number(out)
    reader.send_signal(signal.SIGSTOP)
    try:
        addresses = tmp_path / "addresses"
        addresses.write_text("".join(f"198.18.{n // 250}.{n % 250 + 1}\n" for n in range(MAX_EVENTS + 500)))
        assert site.daemon.run("import", str(addresses)).returncode == 0
        site.scan()
        wait_for(site.banned, "a ban", lambda: site.daemon.log)
        newest = json.loads(site.daemon.run("events", "--json").stdout.splitlines()[-1])["number"]
    finally:
        reader.send_signal(signal.SIGCONT)
    wait_for(lambda: last_number(out) >= newest, "the reader to catch up", errors.read_text)
    numbers = [json.loads(line)["number"] for line in out.read_text().splitlines()]
    lost = [int(words.split()[1]) for words in errors.read_text().splitlines() if "no longer kept" in words]
    assert sum(lost) == numbers[-1] - seen - sum(number > seen for number in numbers) > 0
    assert numbers == sorted(set(numbers))
    reader.send_signal(signal.SIGINT)
    assert reader.wait(10) == 0


def last_number(path: Path) -> int:
    """Return the number of the last complete line of JSON, 0 without any."""
    lines = path.read_text().rpartition("\n")[0].splitlines()
    return json.loads(lines[-1])["number"] if lines else 0


def events(site: Site) -> list[dict[str, Any]]:
    """Return what `events --json` prints."""
    done = site.daemon.run("events", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def kinds(site: Site) -> list[str]:
    """Return the kinds of all events, in order."""
    return [event["event"] for event in events(site)]


def test_status_names_the_process_that_changed_rules_of_another_table(site: Site) -> None:
    """What `audit diff` shows: the table, the process and how often."""
    site.daemon.start()
    site.lab["node"].nft("table inet mine { chain input { type filter hook input priority 0; }; }")

    def noted() -> list[tuple[str, str, int]]:
        return [(one["table"], one["process"], one["count"]) for one in site.daemon.ask("status")["rule_changes"]]

    wait_for(noted, "the change", lambda: site.daemon.log)
    assert noted() == [("inet mine", "nft", 1)]
