"""Tuned values go into a file of their own in conf.d, and only if the configuration is valid with them."""

from pathlib import Path

import pytest
import yaml

from monitor.daemon.tuning.fragment import FILE_NAME, as_yaml, path_of, write
from monitor.model.errors import ConfigError
from monitor.settings.load import load

_SSHD = ("detectors", "failures", "sshd")


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """Return a main file that says nothing, with its own mode."""
    path = tmp_path / "nodewarden.yaml"
    path.write_text("{}\n")
    path.chmod(0o640)
    return path


def test_values_are_in_force_after_writing(main: Path) -> None:
    """The file is read with the others, has the mode of the main file, and nothing else is left in conf.d."""
    written = write(main, _SSHD, {"maxretry": 12, "findtime": "1h"})
    section = load(main).settings.detectors.failures["sshd"]
    assert (section.maxretry, section.findtime_s) == (12, 3600.0)
    assert written.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in written.parent.iterdir()] == [FILE_NAME]


def test_what_was_tuned_before_stays(main: Path) -> None:
    """A second detector adds its section; the same one gets its new values."""
    write(main, _SSHD, {"maxretry": 12, "findtime": "1h"})
    write(main, ("detectors", "port_scan"), {"maxretry": 30})
    write(main, _SSHD, {"maxretry": 9})
    held = yaml.safe_load((main.parent / "conf.d" / FILE_NAME).read_text())
    assert held == {
        "detectors": {"failures": {"sshd": {"maxretry": 9, "findtime": "1h"}}, "port_scan": {"maxretry": 30}}
    }


@pytest.mark.parametrize(
    ("files", "values", "message"),
    [
        ({}, {"maxretry": 0}, "out of range"),
        ({"80-local.yaml": "detectors: {failures: {sshd: {maxretry: 3}}}"}, {"maxretry": 9}, "80-local.yaml sets"),
        ({"50-local.yaml": "detectors: {port_scan: {maxretry: none}}"}, {"maxretry": 9}, "50-local.yaml"),
        ({FILE_NAME: "- a list"}, {"maxretry": 9}, "holds no configuration"),
        ({FILE_NAME: "detectors: 5"}, {"maxretry": 9}, "detectors is no section"),
        ({FILE_NAME: "{"}, {"maxretry": 9}, "cannot be read"),
        ({FILE_NAME: "x" * 2_000_000}, {"maxretry": 9}, "holds no configuration"),
    ],
)
def test_a_configuration_that_is_not_valid_with_it_is_left_alone(
    main: Path, files: dict[str, str], values: dict[str, int], message: str
) -> None:
    """What is wrong is reported with the file's own name, and no file changes."""
    directory = main.parent / "conf.d"
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        write(main, _SSHD, values)
    assert "nodewarden-tune-" not in str(caught.value)
    assert {one.name: one.read_text() for one in directory.iterdir()} == files


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(main: Path, tmp_path: Path) -> None:
    """Whatever a link pointed to keeps its content."""
    directory = main.parent / "conf.d"
    directory.mkdir()
    (tmp_path / "elsewhere").write_text("{}\n")
    (directory / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    assert not write(main, _SSHD, {"maxretry": 9}).is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "{}\n"


def test_the_printed_text_is_what_a_file_takes(main: Path) -> None:
    """What is shown to be copied is a complete file of the configuration."""
    path = path_of("sshd", {"sshd": object()})
    main.write_text(as_yaml(path, {"maxretry": 7, "findtime": "30m"}))
    assert load(main).settings.detectors.failures["sshd"].findtime_s == 1800.0
    assert path_of("port_scan", {"sshd": object()}) == ("detectors", "port_scan")
