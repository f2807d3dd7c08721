"""The scenarios of the corpus live: real tools, a real firewall, the real kernel log, both detectors."""

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from monitor.model.events import PacketLogged
from monitor.sources.kmsg.reader import KernelLog
from tests.support.corpus.attacks import ATTACKS
from tests.support.corpus.everyday import EVERYDAY
from tests.support.corpus.expected import decoded, expected_formats
from tests.support.corpus.formats import FORMATS, Format, play_format
from tests.support.corpus.scenario import Follower, RawLog, Scenario, play
from tests.support.corpus.verdict import alerts_of, is_enough, material_of

pytestmark = pytest.mark.kernel


_ATTEMPTS = 3


class _OverrunError(Exception):
    """Records were lost: nothing can be said of the events."""


@contextmanager
def _followed(prefix: str) -> Iterator[list[PacketLogged]]:
    """Follow the kernel log as the daemon does; the list is filled with the events of this prefix at the end."""
    events: list[PacketLogged] = []
    with closing(KernelLog(prefixes=(prefix,))) as log:
        with Follower(log) as follower:
            yield events
        if log.stats.lost:
            raise _OverrunError(f"{log.stats.lost} records were lost")
        assert sum(log.stats.malformed.values()) == 0, log.stats.malformed
        events += follower.taken


def _run(scenario: Scenario) -> list[PacketLogged]:
    """Play a scenario again if the kernel log overran: its buffer is small, and the whole machine writes to it."""
    for attempt in range(_ATTEMPTS):
        prefix = f"live-{os.getpid()}-{attempt}-{scenario.name} "
        try:
            with _followed(prefix) as events:
                play(scenario, prefix)
        except _OverrunError:
            continue
        return events
    raise AssertionError(f"the kernel log overran its reader {_ATTEMPTS} times")


@pytest.mark.parametrize("scenario", ATTACKS, ids=lambda scenario: scenario.name)
def test_attack_raises_its_alert(scenario: Scenario) -> None:
    """A scan or sweep by nmap raises one kind of alert, and for the attacker's address alone."""
    events = _run(scenario)
    assert is_enough(material_of(events), scenario.material), material_of(events)
    assert alerts_of(events) == scenario.alerts


@pytest.mark.parametrize("scenario", EVERYDAY, ids=lambda scenario: scenario.name)
def test_everyday_traffic_raises_nothing(scenario: Scenario) -> None:
    """What a busy node's firewall logs, in numbers above the thresholds, raises no alert at all."""
    events = _run(scenario)
    assert is_enough(material_of(events), scenario.material), material_of(events)
    assert alerts_of(events) == frozenset()


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_kernel_writes_what_the_decoder_reads(form: Format) -> None:
    """This kernel, today, writes each kind of line in a form that is read as the packet that was sent."""
    with closing(RawLog(re.compile(re.escape(form.prefix).encode()))) as log, Follower(log) as follower:
        play_format(form)
    assert decoded(follower.taken) == expected_formats()[form.name]
