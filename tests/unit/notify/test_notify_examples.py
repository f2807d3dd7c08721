"""The examples of notifications load, are all in their table, and the template among them is one."""

import json
from pathlib import Path

import pytest

from monitor.notify.channels.templates import load as load_template
from monitor.notify.message import Kind
from monitor.settings.load import load
from tests.support.messages import HOSTILE, hostile, message

EXAMPLES = Path(__file__).parents[3] / "examples/notify"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_configures_a_channel(name: str, tmp_path: Path) -> None:
    """With the names of keys and values as they are today."""
    path = tmp_path / "nodewarden.yaml"
    path.write_text((EXAMPLES / name).read_text())
    channels = list(load(path).settings.notify.channels())
    assert channels
    assert all(list(section.conflicts()) == [] for _, _, section in channels)


def test_the_table_has_all_examples() -> None:
    """And no other."""
    text = (EXAMPLES / "README.md").read_text()
    assert [name for name in NAMES if f"[{name}]({name})" not in text] == []


def test_the_own_template_writes_json_whatever_it_is_given() -> None:
    """Operators copy it."""
    template = load_template(str(EXAMPLES / "own.json.j2"), {"queue": "security"})
    for text in HOSTILE:
        assert set(json.loads(template.render(hostile(text)))) == {
            "queue", "summary", "closed", "number", "networks", "description",
        }  # fmt: skip
    filled = json.loads(template.render(message(kind=Kind.PROBLEM_OVER)))
    assert filled["closed"] is True
    assert filled["networks"] == ["192.0.2.7"]
