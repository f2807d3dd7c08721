"""The pipelines in `examples/ci` are YAML of their kind, and their commands do what they promise."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from monitor.cli.main import cli
from tests.support import recorded_site as site

_CI = Path(__file__).parents[3] / "examples/ci"
_IMAGE = "NODEWARDEN_IMAGE"


def _github(document: dict[Any, Any]) -> list[str]:
    """Return the commands; `on` is a boolean to a reader of YAML 1.1."""
    assert document[True]["pull_request"]["paths"] == ["nodewarden/**"]
    (job,) = document["jobs"].values()
    assert _IMAGE in job["container"]
    checkout, compare = job["steps"]
    assert checkout["uses"].startswith("actions/checkout@")
    return [compare["run"]]


def _gitlab(document: dict[Any, Any]) -> list[str]:
    (job,) = document.values()
    assert _IMAGE in job["image"]["name"]
    assert job["image"]["entrypoint"] == [""]
    commands: list[str] = job["script"]
    return commands


_READERS = {"github.yml": _github, "gitlab.yml": _gitlab}


def test_every_pipeline_is_tried() -> None:
    """A new file needs a reader here."""
    assert {path.name for path in _CI.iterdir()} == set(_READERS)


@pytest.mark.parametrize("name", _READERS)
@pytest.mark.parametrize(("text", "code"), [(site.OLD, 0), (site.LENIENT, 0), (site.STRICT, 1)])
def test_a_pipeline_fails_for_a_configuration_that_bans_the_wrong_ones(
    name: str, text: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout of an operations repository, the commands exit as a pull request deserves."""
    (command,) = _READERS[name](yaml.safe_load((_CI / name).read_text()))
    site.write(tmp_path, "nodewarden", text)
    (tmp_path / "recordings").mkdir()
    site.record_day(tmp_path / "recordings")
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(command)
    if ">" in arguments:
        del arguments[arguments.index(">") :]
    assert program == "nodewarden"
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == code, done.output
