"""Templates: whatever attackers write, what comes out is JSON, mentions nobody and is bounded."""

import json
import re
from pathlib import Path

import pytest

from monitor.notify.channel import Refused
from monitor.notify.channels.templates import MAX_BYTES, Template, load
from monitor.notify.message import Kind
from monitor.notify.sections.webhook import BUILT_IN
from tests.support.messages import HOSTILE, hostile, item, message

TOPIC = {"topic": "alerts"}
LONGEST = {"discord": 2000, "mattermost": 16_383, "ntfy": 4096}
"""Characters of the text that the service takes; of ntfy bytes."""


def strings(value: object) -> list[str]:
    """Return all texts of a JSON value."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


def shape(value: object) -> object:
    """Return a JSON value without its texts."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value)


@pytest.mark.parametrize("name", BUILT_IN)
def test_hostile_texts_stay_texts(name: str) -> None:
    """Quotes, markup, mentions, control characters and a megabyte change no key, add none, and mention nobody."""
    template = load(name, TOPIC)
    harmless = shape(json.loads(template.render(hostile("harmless"))))
    for text in HOSTILE:
        content = template.render(hostile(text))
        filled = json.loads(content)
        assert shape(filled) == harmless
        assert len(content) < 64 << 10
        for one in strings(filled):
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", one)
            assert "49" not in one or "49" in text, "a text was evaluated as a template"


@pytest.mark.parametrize("text", HOSTILE[1:3])
def test_nobody_is_mentioned(text: str) -> None:
    """Each service has its own way to mention people, and each template prevents it in its own way."""
    filled = {name: json.loads(load(name, TOPIC).render(hostile(text))) for name in BUILT_IN}
    assert not re.search("<[!@#s]|<https", filled["slack"]["text"])
    assert {part["text"]["type"] for part in filled["slack"]["blocks"]} == {"plain_text"}
    assert filled["discord"]["allowed_mentions"] == {"parse": []}
    for name, key in (("discord", "content"), ("mattermost", "text")):
        assert not re.search("@[a-z!&]|<[!@#]|://", filled[name][key])
        assert filled[name][key].count("```") == 2, "no text ends the code block"
    (card,) = filled["teams"]["attachments"]
    assert {part["type"] for part in card["content"]["body"]} == {"RichTextBlock"}
    assert filled["ntfy"]["markdown"] is False


@pytest.mark.parametrize("name", LONGEST)
def test_services_with_a_limit_get_no_more(name: str) -> None:
    """A digest of the longest events is as long as the service takes."""
    digest = message(*(item("ä" * 3000, why="w" * 3000) for _ in range(50)), count=100_000, unseen=7, title="t" * 3000)
    filled = json.loads(load(name, TOPIC).render(digest))
    text = max(strings(filled), key=len)
    assert len(text.encode() if name == "ntfy" else text) <= LONGEST[name]
    shown = text.count("ä…")
    assert shown in (5, 10)
    assert f"and {100_000 - shown} more since" in text, "events that are not shown are counted"


def test_a_digest_says_what_happened_and_how_much_more() -> None:
    """Text, end, grade of the evidence, command and the number of others are there."""
    text = "\n".join(strings(json.loads(load("slack", {}).render(message(item(), count=12, unseen=3)))))
    for part in (
        "banned 192.0.2.7 for 1 h",
        "until 2026-",
        "proven evidence",
        "nodewarden why 192.0.2.7",
        "11 more",
        "3 more",
    ):
        assert part in text


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_kind_of_message_can_be_shown(name: str, kind: Kind) -> None:
    """An event without network and end, too."""
    bare = item("the disk is full", network="", until_s=0.0, strength="", why="", detector="", set="")
    assert "the disk is full" in load(name, TOPIC).render(message(bare, kind=kind)).decode()


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('{"a": {{ message.title }}}', "no JSON"),
        ('{"a": "{{ message.titel }}"}', "no attribute"),
        ('{"a": "{% for x in y %}', "line 1"),
        ('{{ message.__class__.__mro__ }}', "unsafe"),
        ('{{ ("x" * 1000000000)|tojson }}', "numbers below"),
        ('{{ ("%999999999d" % 1)|tojson }}', "numbers below"),
        ("[{% for x in range(100000) %}{% endfor %}]", "range"),
        ('"{% for x in range(999) %}{% for x in range(999) %}xxxxxxxxx{% endfor %}{% endfor %}"', "256 KiB"),
        ('{% include "/etc/passwd" %}', "no loader"),
        ("x" * 70_000, "larger than 64 KiB"),
    ],
)  # fmt: skip
def test_a_template_that_is_wrong_is_refused_when_it_is_loaded(source: str, fault: str) -> None:
    """Not when the first ban is to be sent."""
    with pytest.raises(ValueError, match=fault):
        Template(source, "json", {})


def test_a_loop_without_output_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in a template costs its time limit, not the notifier."""
    monkeypatch.setattr("monitor.notify.channels.templates._MAX_S", 0.05)
    loops = "{% for a in range(999) %}" * 4 + "{% endfor %}" * 4
    with pytest.raises(ValueError, match="takes longer"):
        Template(loops, "txt", {})


def test_own_templates_escape_by_the_end_of_their_name(tmp_path: Path) -> None:
    """HTML for HTML, one line without control characters for text, the inside of a string for JSON."""
    text = '<b>"\x1b\n'
    for form, expected in (("html", "&lt;b&gt;&#34;\\x1b\\n"), ("txt", '<b>"\\x1b\\n'), ("json", '<b>\\"\\\\x1b\\\\n')):
        path = tmp_path / f"own.{form}.j2"
        path.write_text('"{{ message.title }}" {% if 0 %}{% endif %}' if form == "json" else "{{ message.title }}")
        filled = load(str(path), {}).render(message(title=text)).decode()
        assert filled.strip().removeprefix('"').removesuffix('"') == expected if form == "json" else filled == expected


def test_a_template_that_fails_for_one_message_refuses_this_message() -> None:
    """Others are sent."""
    template = Template('{"a": {{ 1 // (message.count - 2) }}}', "json", {})
    assert template.render(message(count=4)) == b'{"a": 0}'
    with pytest.raises(Refused, match="zero"):
        template.render(message(count=2))
    assert MAX_BYTES == 256 << 10
