"""The log of decisions: every one is named, by itself or in a line of its burst, and the rest are counted."""

import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bans.decision import Decision, Ended, Ending, Verdict
from monitor.daemon.life.log_formats import Json, Logfmt, fields_of
from monitor.daemon.life.logs import journal_fields
from monitor.daemon.pipeline.decision_bursts import LINES_PER_S, MAX_BULK_NAMES, MAX_NAMES, NAMES_PER_LINE
from monitor.daemon.pipeline.decision_fields import MAX_CHARS, NAMES, Place
from monitor.daemon.pipeline.decision_log import DecisionLog
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.protocol import Failure, FailureCause
from monitor.model.addresses import Network, parse_address, parse_network
from monitor.model.alerts import Alert, Evidence, FloodAlert, Party, Strength
from monitor.model.bans import AllowEntry, Ban, ClaimOrigin, Mode
from monitor.recording.inputs import OrderedBan
from monitor.settings.schema import Settings
from tests.support import logfmt

NETWORK = parse_network("192.0.2.7")
OURS = Party(parse_address("10.244.1.7"), "tcp/22")
EVIDENCE = Evidence(5, 5, 600.0, 0.0, 1.0, "failures", ("root",))
ALERT = Alert("sshd", 9.0, parse_address("192.0.2.7"), NETWORK, True, Strength.PROVEN, EVIDENCE, ours=OURS)
BAN = Ban(NETWORK, Strength.PROVEN, 10.0, 610.0, "sshd", "5 failures")
FLOOD = FloodAlert("half_open", 12.0, "tcp/22 of 10.244.1.7", EVIDENCE, OURS)
PLACE = Place("node-1", {OURS.address: "shop/web-7d"}.get)


def decided(verdict: Verdict = Verdict.BAN, ban: Ban | None = BAN, **more: object) -> Decision:
    """Return a settled decision."""
    network = ban.network if ban else NETWORK
    fields = {"claim": ban, "ban": ban, "alert": ALERT, **more}
    return Decision(verdict, network, "sshd", **fields)  # type: ignore[arg-type]


def bans(count: int, *, origin: ClaimOrigin = ClaimOrigin.DETECTOR, first: int = 0) -> list[Decision]:
    """Return so many bans of different addresses."""
    networks = [Network((0x0A000000 + first + number).to_bytes(4), 32) for number in range(count)]
    return [decided(ban=msgspec.structs.replace(BAN, network=network, origin=origin)) for network in networks]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], Sequence[logging.LogRecord]]:
    """Return what gives the records that were written since the last call."""
    caplog.set_level(logging.INFO)

    def take() -> Sequence[logging.LogRecord]:
        taken = list(caplog.records)
        caplog.clear()
        return taken

    return take


Lines = Callable[[], Sequence[logging.LogRecord]]

REFUSALS: dict[str, tuple[Decision, dict[str, str]]] = {
    "allowlisted": (
        decided(Verdict.ALLOWLISTED, None, entry=AllowEntry(NETWORK, "office"), wish=BAN),
        {"strength": "proven", "reason": "192.0.2.7 is on the allowlist (office)", "count": "5"},
    ),
    "full": (decided(Verdict.FULL, None, wish=BAN), {"mode": "enforce", "origin": "detector"}),
    "stale": (decided(Verdict.STALE, None), {"strength": "proven", "service": "tcp/22"}),
    "refused": (decided(Verdict.REFUSED, None, claim=BAN, failure="no room"), {"reason": "no room"}),
    "over_budget": (
        decided(Verdict.OVER_BUDGET, msgspec.structs.replace(BAN, mode=Mode.OBSERVE)),
        {"mode": "observe", "reason": "bans.budget is spent; 5 failures"},
    ),
    "ban": (
        decided(),
        {
            "network": "192.0.2.7",
            "ports": "",
            "strength": "proven",
            "mode": "enforce",
            "origin": "detector",
            "reason": "5 failures",
            "ends": "1970-01-01T00:10:10Z",
        },
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_whatever_was_decided_has_all_fields(lines: Lines, name: str) -> None:
    """Who, by which detector, on what evidence, against what, and on which node: allowlisted offenders too."""
    decision, expected = REFUSALS[name]
    DecisionLog(PLACE).settled([decision], 100.0)
    (written,) = lines()
    fields = fields_of(written)
    assert tuple(fields) == NAMES
    always = {"event": name, "verdict": name, "network": "192.0.2.7", "detector": "sshd", "decisions": "1"}
    ours = {"destination": "10.244.1.7", "pod": "shop/web-7d", "service": "tcp/22", "node": "node-1", "count": "5"}
    assert fields.items() >= (always | ours | expected).items()
    assert str(NETWORK) in written.getMessage()


def test_a_flood_names_what_is_attacked(lines: Lines) -> None:
    """Its sources are forged, so there is no network."""
    DecisionLog(PLACE).flooded(FLOOD, Mode.ENFORCE)
    (written,) = lines()
    named = {name: text for name, text in fields_of(written).items() if text}
    assert named == {
        "event": "flood",
        "detector": "half_open",
        "strength": "spoofable",
        "reason": "5 failures within 600 s, mostly to tcp/22 of 10.244.1.7",
        "count": "5",
        "service": "tcp/22",
        "destination": "10.244.1.7",
        "pod": "shop/web-7d",
        "node": "node-1",
    }


def test_a_call_out_names_who_called(lines: Lines) -> None:
    """The destination is what may no longer be called; the pod is the one that called it."""
    alert = msgspec.structs.replace(ALERT, strength=Strength.DESTINATION)
    DecisionLog(PLACE).settled([decided(alert=alert)], 100.0)
    fields = fields_of(lines()[0])
    assert (fields["destination"], fields["pod"]) == ("192.0.2.7", "shop/web-7d")


def test_an_end_says_why(lines: Lines) -> None:
    """A ban that expired, that was taken back, or that the kernel lost."""
    log = DecisionLog(PLACE)
    log.ended([Ended(BAN, (BAN,), cause) for cause in (Ending.EXPIRED, Ending.WITHDRAWN, Ending.REFUSED)])
    assert [(fields_of(one)["event"], fields_of(one)["cause"]) for one in lines()] == [
        ("end", "expired"),
        ("end", "withdrawn"),
        ("end", "refused"),
    ]


def _named(records: Iterable[logging.LogRecord]) -> set[str]:
    """Return all networks that records name, and check that words and fields name the same."""
    named: set[str] = set()
    for one in records:
        fields = fields_of(one)
        networks = set(fields["networks"].split()) or {fields["network"]}
        assert set(re.findall(r"10\.\d+\.\d+\.\d+", one.getMessage())) == networks
        assert not networks & named
        named |= networks
    return named


def test_a_burst_names_everybody(lines: Lines) -> None:
    """Two thousand bans at once: twenty lines, then a few a second with a hundred names each; none is lost."""
    log = DecisionLog(PLACE)
    decisions = bans(2000)
    log.settled(decisions, 100.0)
    singles = lines()
    assert len(singles) == 20
    named, seconds = _named(singles), 0
    while len(named) < 2000:
        log.tick(0.0)
        records = lines()
        assert 0 < len(records) <= LINES_PER_S
        for one in records:
            fields = fields_of(one)
            assert int(fields["decisions"]) == len(fields["networks"].split()) <= NAMES_PER_LINE
            assert (fields["event"], fields["service"], fields["pod"]) == ("ban", "tcp/22", "shop/web-7d")
            assert len(one.getMessage()) < 8000
        named |= _named(records)
        seconds += 1
    assert named == {str(one.network) for one in decisions}
    assert seconds == 4
    log.tick(0.0)
    assert not lines()


def test_a_burst_is_named_as_soon_where_ticks_are_rare(lines: Lines) -> None:
    """A tick each third second writes what three would have written."""
    log = DecisionLog(PLACE)
    log.settled(bans(4000), 100.0)
    counts = []
    for now_s in (101.0, 104.01, 107.02, 1e9, 0.0):
        lines()
        log.tick(now_s)
        counts.append(len(lines()))
    assert counts == [LINES_PER_S, 3 * LINES_PER_S, 3 * LINES_PER_S, 5, 0]


def test_what_waits_when_the_daemon_stops_is_named(lines: Lines) -> None:
    """Nothing of a burst is lost by a restart."""
    log = DecisionLog(PLACE)
    decisions = bans(1500)
    log.settled(decisions, 100.0)
    log.close()
    assert _named(lines()) == {str(one.network) for one in decisions}


def test_a_burst_is_bounded_and_says_so(lines: Lines) -> None:
    """More than can wait are counted; files and lists leave room for detectors."""
    log = DecisionLog(PLACE)
    log.settled(bans(20), 100.0)
    log.settled(bans(MAX_BULK_NAMES + 7, origin=ClaimOrigin.IMPORT, first=20), 100.0)
    log.settled(bans(MAX_NAMES - MAX_BULK_NAMES + 3, first=2 << 16), 100.0)
    lines()
    log.tick(0.0)
    *_, last = lines()
    assert last.getMessage().startswith("10 more decisions in the last second")
    log.close()
    assert len(_named(lines())) == MAX_NAMES - LINES_PER_S * NAMES_PER_LINE


def test_floods_are_reported_during_a_burst(lines: Lines) -> None:
    """Bans do not use up their lines; floods beyond five a second are counted."""
    log = DecisionLog(PLACE)
    log.settled(bans(30), 100.0)
    for _ in range(7):
        log.flooded(FLOOD, Mode.ENFORCE)
    log.tick(0.0)
    texts = [one.getMessage() for one in lines()]
    assert sum(text.startswith("half_open: ") for text in texts) == 5
    assert texts[-1] == "2 more floods in the last second"


def test_kinds_of_a_burst_take_turns(lines: Lines) -> None:
    """Lines name one kind each, and a long list does not hold up a short one."""
    log = DecisionLog(PLACE)
    log.settled(bans(1020), 100.0)
    log.ended([Ended(BAN, (BAN,), Ending.EXPIRED)])
    lines()
    log.tick(0.0)
    assert [fields_of(one)["event"] for one in lines()] == ["ban", "end", "ban", "ban", "ban"]


def test_what_a_line_of_a_burst_does_not_share_is_empty(lines: Lines) -> None:
    """Services differ, the pod is the same."""
    log = DecisionLog(PLACE)
    log.settled(bans(20), 100.0)
    parties = [Party(OURS.address, f"tcp/{port}") for port in (22, 23)]
    alerts = [msgspec.structs.replace(ALERT, ours=party) for party in parties]
    log.settled([msgspec.structs.replace(one, alert=alert) for one, alert in zip(bans(2), alerts, strict=True)], 100.0)
    lines()
    log.tick(0.0)
    fields = fields_of(lines()[0])
    assert (fields["service"], fields["pod"], fields["networks"]) == ("", "shop/web-7d", "10.0.0.0 10.0.0.1")


class _Collecting(logging.Handler):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


_HOSTILE = st.text(max_size=60)


@given(_HOSTILE, _HOSTILE, st.integers(0, 3))
def test_hostile_text_stays_in_its_field(reason: str, pod: str, more: int) -> None:
    """Whatever a client, a list or a pod is called: every format yields one line, and back the very fields."""
    log = DecisionLog(Place("node-1", lambda _: pod))
    ban = msgspec.structs.replace(BAN, reason=reason)
    handler = _Collecting()
    logger = logging.getLogger("monitor.daemon.pipeline.decision_log")
    logger.addHandler(handler)
    level, logger.level = logger.level, logging.INFO
    try:
        log.settled([decided(ban=ban)] * (20 + more), 100.0)
        log.flooded(msgspec.structs.replace(FLOOD, target=reason), Mode.ENFORCE)
        log.tick(0.0)
    finally:
        logger.removeHandler(handler)
        logger.level = level
    records = handler.records
    assert len(records) == 21 + bool(more)
    for one in records:
        fields = fields_of(one)
        for text, read in (
            (Json().format(one), json.loads(Json().format(one))),
            (Logfmt().format(one), logfmt.parse(Logfmt().format(one))),
        ):
            assert text.isprintable()
            assert {name: read[name] for name in NAMES} == fields
        sent = journal_fields(one)
        assert all(text.isprintable() and len(text) <= MAX_CHARS for text in sent.values())
        assert {name: sent[f"NODEWARDEN_{name.upper()}"] for name in NAMES} == fields


def test_the_fields_are_those_documented() -> None:
    """docs/events.md names each field, and no other."""
    text = (Path(__file__).parents[3] / "docs/events.md").read_text()
    assert re.findall(r"^\| `(\w+)` \| `NODEWARDEN_(\w+)` \|", text, re.MULTILINE) == [
        (name, name.upper()) for name in NAMES
    ]


def test_bans_that_the_kernel_lost_are_lines_of_a_burst(lines: Lines) -> None:
    """The table set up again, with room for none: one line says why, and the others name them, not one for each."""
    decision_log = DecisionLog(PLACE)
    pipeline = Pipeline(Settings(), (), lambda *_: Enforcement(MemoryLeader()), (decision_log,))
    networks = [Network((0x0A000000 + number).to_bytes(4), 32) for number in range(400)]
    pipeline.order([OrderedBan(one, Strength.PROVEN, 600.0, "a test") for one in networks], 1000.0)
    decision_log.close()
    lines()
    pipeline.bans.lose([Failure(one, Strength.PROVEN, FailureCause.SET_FULL, "no room") for one in networks])
    (why,) = lines()
    assert why.getMessage() == "the kernel refused 400 bans that were in force: no room"
    pipeline.bans.tick(1001.0)
    decision_log.close()
    written = lines()
    assert _named(written) == set(map(str, networks))
    assert len(written) < 40
    assert not len(pipeline.ledger)


def test_a_ban_of_another_node_is_named_as_the_commands_do(lines: Lines) -> None:
    """Whose it is stands in the line, so that `journalctl --grep` finds all that others ban."""
    ban = msgspec.structs.replace(BAN, origin=ClaimOrigin.PEER, detector="web-1", mode=Mode.OBSERVE)
    DecisionLog(PLACE).settled([decided(Verdict.OBSERVE, ban, alert=None)], 0.0)
    assert [one.getMessage() for one in lines()] == ["would ban 192.0.2.7 for 600 s (peer web-1): 5 failures"]
