"""Which events are news, and what hostile events do: nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.notify.events import noted
from tests.support.notify import ban

HOSTILE = "a\nb\x1b[31m\u202e" + "x" * 5000


@pytest.mark.parametrize("origin", ["list", "peer", "import", "", None, "foreign"])
def test_what_others_decided_is_no_news(origin: str | None) -> None:
    """A ban of a list, a peer, CrowdSec or an import leads to no message, and neither does one without an origin."""
    assert noted(ban(1, origin=origin)) is None


@pytest.mark.parametrize("word", ["refresh", "claim", "end", "allowlisted", "stale", "full", "refused", "new", None, 3])
def test_what_is_no_new_ban_is_no_news(word: object) -> None:
    """Longer bans, ends and refusals are in the journal; an event that is not known is passed over."""
    assert noted(ban(1) | {"event": word}) is None


def test_texts_of_attackers_are_one_short_line() -> None:
    """Control characters, marks that change the direction of text and long texts do not reach a channel."""
    found = noted(ban(1, reason=HOSTILE, network=HOSTILE, detector=HOSTILE))
    assert found is not None
    assert found.item is not None
    for text in (found.item.text, found.item.reason, found.item.network, found.group):
        assert text.isprintable()
        assert len(text) <= 1200


_ANY = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers(), max_size=3)
)
_EVENT = st.dictionaries(st.sampled_from(sorted({*ban(1), "text", "name", "author", "kind", "count", "bans"})), _ANY)
_WORD = st.sampled_from(["ban", "observe", "problem", "problem_over", "flood", "table_change", "trial", "clock_step"])


@given(_EVENT, _WORD)
def test_no_event_raises(event: dict[str, Any], word: str) -> None:
    """Whatever the fields hold, the event is described or passed over."""
    found = noted({"origin": "detector"} | event | {"event": word})
    if found is not None:
        assert found.item is not None
        assert found.item.text.isprintable()


def test_a_problem_of_several_lines_is_one_sentence() -> None:
    """Faults of a configuration are listed in lines; a subject, a label and a chat want one, without escapes."""
    found = noted({"event": "problem", "time_s": 1.0, "text": "the file is faulty:\n  a.yaml:1: unknown key"})
    assert found is not None
    assert found.item is not None
    assert found.item.text == "problem: the file is faulty: a.yaml:1: unknown key"
