"""docs/events.md names every event, every field of events and every cause."""

import re
from pathlib import Path

import msgspec
import pytest

from monitor.bans.decision import Ending
from monitor.daemon.control.event_presentation import show_events
from monitor.daemon.pipeline.event_stream import MAX_EVENTS
from tests.unit.daemon.test_event_stream import CASES, stream

TEXT = (Path(__file__).parents[3] / "docs/events.md").read_text()
JSON_PART = TEXT.split("## The log")[0]


def rows(text: str) -> list[str]:
    """Return the names in the first column of tables, those of code."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_every_event_has_a_row() -> None:
    """A new kind of event is documented; one that is gone is not."""
    assert sorted(set(rows(JSON_PART)) - {"event"}) == sorted(CASES)


@pytest.mark.parametrize("kind", CASES)
def test_every_field_is_named(kind: str) -> None:
    """All that an event of this kind has is named in the part about JSON."""
    some = stream()
    CASES[kind][0](some)
    (event,) = msgspec.json.decode(msgspec.json.encode(show_events(some, 0, None)))["events"]
    assert set(event) <= set(re.findall(r"`(\w+)`", JSON_PART))


def test_every_cause_is_named() -> None:
    """All causes of ends are named."""
    causes = re.search(r"- `cause`: (.*?)`remaining_until_s`", JSON_PART, re.DOTALL)
    assert causes
    assert set(re.findall(r"`(\w+)`", causes[1])) == {cause.value for cause in Ending}


def test_the_bound_is_the_real_one() -> None:
    """The document states how many events are kept."""
    assert f"{MAX_EVENTS:,} events" in TEXT
