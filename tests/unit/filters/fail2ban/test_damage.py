"""A damaged jail file costs what is damaged, and nothing else."""

import os
from pathlib import Path

import pytest

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.jails import read_jails
from tests.unit.config.support import write

JAILS = "[DEFAULT]\nfilter = app\nlogpath = /var/log/app.log\n" + "".join(
    f"[{name}]\nenabled = true\n" for name in ("one", "two", "off")
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a configuration with three jails that run."""
    write(tmp_path, "[Definition]\nfailregex = ^refused <HOST>$\n", "filter.d/app.conf")
    write(tmp_path, JAILS, "jail.conf")
    return tmp_path


def outcome(directory: Path) -> tuple[dict[str, str], list[str], tuple[str, ...]]:
    """Return the jails with their faults, the faults of files, and what is ignored."""
    found = read_jails(directory)
    faults = {jail.name: jail.fault.replace(f"{directory}/", "") for jail in found.jails}
    return faults, [fault.replace(f"{directory}/", "") for fault in found.faults], found.ignoreip


DAMAGES = {
    "a line that is no option": ("[one]\nmaxretry 3\nfindtime = 5\n[off]\nenabled = false\n", "jail.d/x.local:2: "),
    "an option twice": ("[one]\nmaxretry = 3\nmaxretry = 4\n[off]\nenabled = false\n", "jail.d/x.local:3: "),
    "a section twice": ("[one]\nmaxretry = 3\n[off]\nenabled = false\n[one]\nmaxretry = 4\n", "jail.d/x.local:5: "),
    "not UTF-8": ("[one]\nmaxretry = \udcff\n[off]\nenabled = false\n", "jail.d/x.local:2: "),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_section_costs_its_jail(directory: Path, what: str) -> None:
    """The other jails run; what the file says of them counts, and what it ignores is ignored."""
    text, place = DAMAGES[what]
    data = ("[DEFAULT]\nignoreip = 192.0.2.1\n" + text).encode(errors="surrogateescape")
    write(directory, data, "jail.d/x.local")
    line = int(place.split(":")[1]) + 2
    place = f"jail.d/x.local:{line}: "
    faults, files, ignored = outcome(directory)
    assert faults.keys() == {"one", "two"}
    assert faults["one"].startswith(place)
    assert faults["two"] == ""
    assert files[0].startswith(place)
    assert ignored == ("192.0.2.1",)
    with pytest.raises(FilterError, match=r"jail\.d/x\.local"):
        read_jails(directory, is_strict=True)


def test_a_damaged_default_costs_no_jail(directory: Path) -> None:
    """It is a fault of the file; the jails run with the other lines."""
    write(directory, "[DEFAULT]\nbroken\nignoreip = 192.0.2.1\n", "jail.local")
    faults, files, ignored = outcome(directory)
    assert faults == {"one": "", "two": "", "off": ""}
    assert files == ["jail.local:2: 'broken' is neither [section] nor option = value"]
    assert ignored == ("192.0.2.1",)


@pytest.mark.parametrize("kind", ["directory", "FIFO", "huge"])
def test_an_unreadable_file_is_a_fault_of_its_own(directory: Path, kind: str) -> None:
    """The jails of the other files run."""
    path = directory / "jail.d/x.local"
    path.parent.mkdir()
    if kind == "directory":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(1 << 34)
    faults, files, _ = outcome(directory)
    assert faults == {"one": "", "two": "", "off": ""}
    assert len(files) == 1
    assert files[0].startswith("jail.d/x.local: ")


def test_all_files_are_named(directory: Path) -> None:
    """What was read, and what could have been, is known: a file that comes later changes what runs."""
    files = {str(path.relative_to(directory)) for path in read_jails(directory).files}
    assert {"jail.conf", "jail.local", "filter.d/app.conf", "filter.d/app.local"} <= files
