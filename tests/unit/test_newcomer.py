"""The documents that a newcomer follows can be followed: what is a command, what is not run, and why."""

import re

import pytest

from tests.newcomer.documents import Kind, Step, steps
from tests.newcomer.site import Site
from tests.newcomer.walk import all_steps

_DOCUMENT = """\
# Title

Some text:

    first --option \\
        continued      # a comment
    # only a comment
    second

## Part

<!-- lab: visit -->

```console
$ shown | head
output
    more of it
```

<!-- not run: no such machine -->

```yaml
bans: {}
```

- a list
    that goes on

```sh
follow    # until Ctrl-C
```
"""


def test_what_a_document_asks_for() -> None:
    """Commands, settings and scenes come in order, with place, section and reason; output and prose are none."""
    assert list(steps("a.md", _DOCUMENT)) == [
        Step("a.md", 5, "Title", Kind.COMMAND, "first --option     continued      # a comment"),
        Step("a.md", 8, "Title", Kind.COMMAND, "second"),
        Step("a.md", 12, "Part", Kind.SCENE, "visit"),
        Step("a.md", 15, "Part", Kind.COMMAND, "shown | head"),
        Step("a.md", 23, "Part", Kind.SETTINGS, "bans: {}\n", "no such machine"),
        Step("a.md", 30, "Part", Kind.COMMAND, "follow    # until Ctrl-C"),
    ]


def test_a_block_of_unknown_kind() -> None:
    """A block that says nothing about itself is an error, not a block that nobody runs."""
    with pytest.raises(ValueError, match=r"a\.md:1: a block fenced as nothing"):
        list(steps("a.md", "```\nwhat?\n```\n"))


def test_commands_can_be_copied() -> None:
    """A line can be pasted as it stands: a remark is a comment, and no word is a placeholder."""
    commands = [step for step in all_steps() if step.kind is Kind.COMMAND]
    assert len(commands) > 60
    for step in commands:
        command = step.text.partition(" # ")[0].rstrip()
        unquoted = re.sub(r"'[^']*'", "", command)
        assert not re.search(r"\S {2,}\S", command), f"{step.place}: put `# ` before the remark"
        assert step.reason or not re.search(r"(?<![\w=$./-])[A-Z]{4,}(?![\w=])", unquoted), f"{step.place}: {command}"


def test_scenes_exist() -> None:
    """Every scene that a document names can be played."""
    names = {step.text for step in all_steps() if step.kind is Kind.SCENE}
    assert names
    assert names <= set(dir(Site))


def test_few_are_not_run() -> None:
    """What cannot run on a fresh machine is the exception, and says why."""
    left_out = [step for step in all_steps() if step.reason]
    assert {step.document for step in left_out} <= {"docs/operations.md"}
    assert len(left_out) < 10
