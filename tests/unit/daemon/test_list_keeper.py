"""When the block lists of a daemon are looked after."""

from pathlib import Path
from unittest.mock import MagicMock

import pytest

from monitor.daemon.lists.keeper import ListKeeper
from monitor.settings.load import load
from tests.unit.config.support import write


def test_without_lists_there_is_no_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload with one, or a table that could not be removed, has it compared again and again."""
    none = load(write(tmp_path, f"state: {{directory: {tmp_path}}}\n")).settings
    some = load(
        write(tmp_path, f"state: {{directory: {tmp_path}}}\nlists: {{drop: {{file: {tmp_path}/drop.txt}}}}\n")
    ).settings
    keeper = ListKeeper(none, tuple, MagicMock(), compare_every_s=7.0)
    waits = [keeper._next_s]
    for settings in (some, none):
        keeper.reconfigure(settings)
        waits.append(keeper._next_s)
    assert keeper._wake.is_set()
    monkeypatch.setattr(keeper, "_may_exist", True)
    assert [*waits, keeper._next_s] == [None, 7.0, None, 7.0]
