"""Files of sysctls that stay open."""

import errno
import os
from pathlib import Path

import pytest

from monitor.node.sysctl_files import SysctlFiles


def test_what_is_the_same_is_the_same_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is seen, so is a file that comes, and one that is another (its module was loaded again) or goes."""
    directory = tmp_path / "proc/sys/net"
    directory.mkdir(parents=True)
    (directory / "one").write_text("1\n")
    files = SysctlFiles(tmp_path, ("net/one", "net/two"))
    first = files.read()
    assert first == {"net/one": b"1\n"}
    assert files.read() is first
    (directory / "one").write_text("2\n")
    (directory / "two").write_text("3\n")
    assert files.read() == {"net/one": b"2\n", "net/two": b"3\n"}

    read, gone = os.pread, {files._opened["net/one"], files._opened["net/two"]}

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if descriptor in gone:
            gone.remove(descriptor)
            raise OSError(errno.ENOENT, "the kernel removed it")
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    (directory / "two").unlink()
    assert files.read() == {"net/one": b"2\n"}
    files.close()
    assert not files._opened


def test_what_seldom_comes_is_seldom_looked_for(tmp_path: Path) -> None:
    """It is read as often as others once it is there."""
    directory = tmp_path / "proc/sys/net"
    directory.mkdir(parents=True)
    files = SysctlFiles(tmp_path, ("net/one", "net/two"), seldom=("net/two",))
    assert files.read() == {}
    for name in ("one", "two"):
        (directory / name).write_text("1")
    assert files.read() == {"net/one": b"1"}
    for _ in range(18):
        files.read()
    assert files.read() == {"net/one": b"1", "net/two": b"1"}
    (directory / "two").write_text("2")
    assert files.read()["net/two"] == b"2"
    files.close()
