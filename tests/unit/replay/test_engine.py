"""What a replay says beside its outcomes, and how it meets recordings that are not whole."""

from typing import Any

import msgspec
import pytest

from monitor.daemon.replay.engine import Replay, replay
from monitor.daemon.replay.outcome import Kind, Outcome
from monitor.daemon.sources.recorded_settings import RecordedFilters, configured
from monitor.model.addresses import parse_network
from monitor.model.bans import AllowEntry
from monitor.model.errors import ConfigError
from monitor.model.events import SenderObserved
from monitor.recording.inputs import (
    Configured,
    Events,
    Flood,
    Gap,
    Input,
    Order,
    Ordered,
    Refusal,
    Refused,
    Skipped,
    Started,
    Surrounded,
    Ticked,
)
from monitor.settings.schema import Settings
from tests.support.events import failure, tcp

_NOW_S = 1_700_000_000.0


def _with(whole: Any, place: str, value: Any) -> Any:
    """Return settings with another value at a place."""
    key, _, rest = place.partition(".")
    if isinstance(whole, dict):
        return whole | {key: _with(whole[key], rest, value) if rest else value}
    return msgspec.structs.replace(whole, **{key: _with(getattr(whole, key), rest, value) if rest else value})


def _start(settings: Settings, *, is_continued: bool = False) -> list[Any]:
    return [
        Started(_NOW_S, "node", "1.0", is_continued=is_continued),
        configured(settings, RecordedFilters(settings.detectors.failures, ()), _NOW_S),
        Surrounded(_NOW_S, []),
    ]


def _failures(count: int, now_s: float = _NOW_S) -> Events:
    return Events(now_s, [failure("198.51.100.7", detector="sshd", log="journal", time_s=now_s) for _ in range(count)])


def _bans(outcomes: list[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.kind is Kind.DECISION and one.verdict == "ban"]


def test_another_configuration_decides_otherwise() -> None:
    """With a lower threshold there is a ban where there was none; a recorded reload is not followed, and counted."""
    lower = _with(Settings(), "detectors.failures.sshd.maxretry", 3)
    inputs = [*_start(Settings()), _failures(4), *_start(_with(Settings(), "bans.max_bans", 2048))[1:2]]
    assert _bans(replay(inputs).outcomes) == []
    result = replay(inputs, lower)
    (ban,) = _bans(result.outcomes)
    assert (str(ban.network), ban.detector, ban.since_s, ban.until_s) == (
        "198.51.100.7",
        "sshd",
        _NOW_S,
        _NOW_S + 600,
    )
    assert (result.ignored_reloads, len(result.digests)) == (1, 2)


def test_detectors_that_the_recording_cannot_feed_are_named() -> None:
    """Sources that were off, logs that were not read, and kinds that never came: each with its reason."""
    off = _with(Settings(), "sources.kernel_log.enabled", False)
    other = _with(Settings(), "detectors.failures.other", Settings().detectors.failures["sshd"])
    engine = Replay(other, filters=RecordedFilters(other.detectors.failures, ()))
    for one in [*_start(off), _failures(4)]:
        engine.feed(one)
    unfed = engine.unfed()
    assert unfed["other"] == "the history has no failures in logs that its filter found"
    assert "sources.drops" in unfed["stealth_scan"] or "(drops_observed)" in unfed["stealth_scan"]
    assert "sshd" not in unfed


def test_a_recording_that_begins_in_the_middle_says_from_when_windows_are_warm() -> None:
    """After the longest time that a detector counts; one that begins with a start is warm at once."""
    whole = replay([*_start(Settings()), _failures(1)])
    part = replay([*_start(Settings(), is_continued=True), _failures(1)])
    assert (whole.warm_s, whole.starts) == (None, 1)
    assert part.warm_s is not None
    assert (part.warm_s >= _NOW_S + 600, part.starts) == (True, 0)


def test_what_is_missing_is_counted() -> None:
    """Gaps and floods are in the result, and such a replay does not call itself complete."""
    gap, flood = Gap(_NOW_S, "queue", 7, "the queue was full"), Flood(_NOW_S, "packet_logged", [(b"\1\2\3\4", 5)], 6)
    result = replay([*_start(Settings()), gap, flood, Skipped(_NOW_S, "drops_observed", 3)])
    assert (result.gaps, result.gaps_total, result.lacking, result.floods["packet_logged"]) == ([gap], 1, 7, 11)
    assert result.events["drops_observed"] == 3
    assert not result.is_complete
    assert replay(_start(Settings())).is_complete


def test_a_new_part_of_one_run_changes_nothing() -> None:
    """Key frames in the middle repeat what is in force: what was counted goes on."""
    frames = [msgspec.structs.replace(one, is_continued=True) for one in _start(Settings())]
    inputs = [*_start(Settings()), _failures(4), *frames, _failures(1)]
    assert len(_bans(replay(inputs).outcomes)) == 1


def test_inputs_without_any_beginning_are_replayed() -> None:
    """Events alone, as from a log file, meet the configuration that is given."""
    assert len(_bans(replay([_failures(5), Ticked(_NOW_S + 1)], Settings()).outcomes)) == 1


def test_only_kinds_that_matter_are_wanted() -> None:
    """A reader need not decode events that no detector takes; flows always matter, for services and clients."""
    wanted = Replay(Settings()).wanted()
    assert {"auth_failure", "flow_batch", "packet_logged"} <= wanted


def test_a_fault_costs_one_input() -> None:
    """Events that the pipeline cannot take are counted, and the rest is replayed."""
    broken = Events(_NOW_S, [failure("192.0.2.1", detector="sshd", log="journal"), tcp("192.0.2.1", 1)])
    result = replay([*_start(Settings()), broken, _failures(5)])
    assert (result.failures, len(_bans(result.outcomes))) == (1, 1)


def test_a_recorded_configuration_of_another_version_is_refused() -> None:
    """Unless another one is given: a key that this version does not know is named."""
    inputs: list[Input] = [
        Started(_NOW_S, "node", "9.0"),
        Configured(_NOW_S, {"colour": 1}, "x"),
        Surrounded(_NOW_S, []),
    ]
    with pytest.raises(ConfigError, match="colour"):
        replay(inputs)
    assert replay([*inputs, _failures(5)], Settings()).versions == {"9.0": None}


def test_an_outcome_is_shown_without_what_is_empty() -> None:
    """As a JSON line for people and programs."""
    (ban,) = _bans(replay([*_start(Settings()), _failures(5)]).outcomes)
    shown = ban.shown()
    assert (shown["network"], shown["source"], shown["verdict"]) == ("198.51.100.7", "198.51.100.7", "ban")
    assert "doubt" not in shown


def test_what_one_input_meets_no_other_does() -> None:
    """A failed call of the kernel fails the input that it belongs to, and no later one, however that ended."""
    refused = Refused(_NOW_S, [Refusal(0, b"", "refused: no answer", "allow"), Refusal(1, b"", "fault: x", "allow")])
    someone = AllowEntry(parse_network("192.0.2.9"), "a resolver")
    order = Ordered(_NOW_S + 1, Order.ALLOW, entries=[someone])
    for failing in (Surrounded(_NOW_S, [someone]), *_start(_with(Settings(), "bans.max_bans", 2048))[1:2], order):
        result = replay([*_start(Settings()), refused, failing, order, order])
        assert result.failures == 1


def test_events_that_are_impossible_cost_themselves_only(caplog: pytest.LogCaptureFixture) -> None:
    """An address that is none, as somebody may write it into a recording: one line says so, without a traceback."""
    broken = Events(_NOW_S + 1, [SenderObserved(_NOW_S + 1, b"", 1, 1)])
    result = replay([*_start(Settings()), broken, _failures(5, _NOW_S + 2)])
    assert result.failures == 1
    assert len(_bans(result.outcomes)) == 1
    (record,) = [one for one in caplog.records if "failed" in one.getMessage()]
    assert not record.exc_info
    assert "KeyError" in record.getMessage()
