"""docs/filter-format.md, and so nodewarden-filter(5): complete, and its example works as it says."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from monitor.cli.main import cli
from monitor.filters.date_fields import FIELDS
from monitor.filters.library import FilterFile, WritersSection, load_filter
from monitor.filters.log_filter import Found, LogFilter
from monitor.filters.tags import resolve

_TEXT = (Path(__file__).parents[3] / "docs/filter-format.md").read_text()
_BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", _TEXT, re.MULTILINE | re.DOTALL)
_LOG = "".join(f"{line[4:]}\n" for line in _TEXT.splitlines() if line.startswith("    2026-"))


def test_every_key_tag_and_field_is_there() -> None:
    """Nothing that a filter may contain is missing, and no tag is described that does not exist."""
    for key in (*FilterFile.__struct_fields__, *WritersSection.__struct_fields__):
        assert f"`{key}`" in _TEXT, key
    for name in FIELDS:
        assert re.search(rf"%{name}\b" if name != "%" else "`%%`", _TEXT), name
    for tag in set(re.findall(r"<[A-Z][A-Z0-9_/-]*>", _TEXT)):
        assert resolve(tag) != tag, tag


def _example(directory: Path) -> Path:
    path = directory / "shop.yaml"
    path.write_text(_BLOCKS[1])
    return path


def _run(command: str, path: Path, *more: str) -> Any:
    words = shlex.split(command.replace("\\\n", " ").replace("/etc/nodewarden/filters/shop.yaml", str(path)))
    done = CliRunner().invoke(cli, [*words[1:], "--json", *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_the_example(tmp_path: Path) -> None:
    """The first try misses the line as the document shows, the file finds it, and the attack is seen through."""
    path = _example(tmp_path)
    commands = re.findall(r"^    (nodewarden filter test (?:.*\\\n)*.*)$", _TEXT, re.MULTILINE)
    (tmp_path / "log").write_text(_LOG)
    first = _run(commands[0], path)
    assert (first["matched"], first["missed_remains"][0]["reason"]) == (0, "no failregex matches")
    assert f'left: "{first["missed_remains"][0]["left"]}"' in _TEXT
    whole = _run(commands[1].replace("/srv/shop/log/login.log", str(tmp_path / "log")), path)
    assert (whole["lines"], whole["addresses"]) == (2, {"192.0.2.7": 1})
    assert _run(commands[2], path)["addresses"] == {"192.0.2.7": 1}
    assert "filter" in yaml.safe_load(_BLOCKS[0])["detectors"]["failures"]["shop"]


@pytest.mark.parametrize(("last", "is_failure"), [("login failed", True), ("login", False)])
def test_the_example_of_connections(tmp_path: Path, last: str, *, is_failure: bool) -> None:
    """Lines are joined: the failure gets its address from another line."""
    path = tmp_path / "f.yaml"
    path.write_text("description: x\n" + _BLOCKS[2])
    log_filter = LogFilter(load_filter(str(path)))
    lines = ("shop[1]: connection from 192.0.2.7\n", f"shop[1]: {last}\n")
    outcomes = [log_filter.examine(line, log_filter.everything, 0.0, 0.0) for line in lines]
    assert [isinstance(outcome, Found) for outcome in outcomes] == [False, is_failure]
