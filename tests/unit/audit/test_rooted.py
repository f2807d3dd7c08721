"""Files as another process sees them: its root is not left, and nothing that blocks is opened."""

import contextlib
import os
from pathlib import Path

import pytest

from monitor.audit.hosting.rooted import entries_within, read_within


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a container's root, with a secret outside of it."""
    (tmp_path / "secret").write_text("of the node")
    inside = tmp_path / "container"
    (inside / "etc/sub").mkdir(parents=True)
    (inside / "etc/config").write_text("of the container")
    return inside


@pytest.mark.parametrize(
    "path", ["/etc/config", "//etc/./config", "/etc/sub/../config", "/../../etc/config", "/etc/../../etc/config"]
)
def test_a_path_is_resolved_inside_the_root(root: Path, path: str) -> None:
    """`..` at the root stays there."""
    assert read_within(root, path, 100) == b"of the container"


def test_absolute_and_relative_links_stay_inside(root: Path) -> None:
    """A link to /secret means the container's, and one with many `..` ends at its root."""
    (root / "etc/absolute").symlink_to("/secret")
    (root / "etc/relative").symlink_to("../../../../secret")
    (root / "etc/directory").symlink_to("/")
    for name in ("absolute", "relative", "directory/secret"):
        with pytest.raises(FileNotFoundError):
            read_within(root, f"/etc/{name}", 100)
    (root / "secret").write_text("of the container")
    for name in ("absolute", "relative", "directory/secret"):
        assert read_within(root, f"/etc/{name}", 100) == b"of the container"


def test_a_loop_of_links_ends(root: Path) -> None:
    """Two links that name each other are an error, as is a chain that is too long."""
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("/a")
    with pytest.raises(OSError, match="too many links"):
        read_within(root, "/a", 100)


def test_only_regular_files_of_bounded_size_are_read(root: Path) -> None:
    """A FIFO does not block the reader, a directory is no file, and a large file is refused."""
    os.mkfifo(root / "fifo")
    (root / "large").write_bytes(bytes(101))
    for path, why in (("/fifo", "regular"), ("/etc", "regular"), ("/large", "larger"), ("etc/config", "absolute")):
        with pytest.raises(OSError, match=why):
            read_within(root, path, 100)
    with pytest.raises(NotADirectoryError):
        read_within(root, "/etc/config/more", 100)
    with pytest.raises(OSError, match="absolute"):
        read_within(root, "/etc\0/config", 100)


def test_a_directory_is_listed_inside_the_root_and_no_further_than_a_bound(root: Path) -> None:
    """In order, and without following links; too many entries are an error."""
    for name in ("20-b.conf", "10-a.conf"):
        (root / "etc" / name).touch()
    files = [("10-a.conf", False), ("20-b.conf", False), ("config", False), ("link", False)]
    (root / "etc/link").symlink_to("sub")
    assert entries_within(root, "/etc", 10) == [*files, ("sub", True)]
    with pytest.raises(OSError, match="more than 2"):
        entries_within(root, "/etc", 2)


def test_no_descriptor_is_left_open(root: Path) -> None:
    """Errors on the way close what was opened."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("/etc/config", "/etc/none/none", "/etc/config/none"):
        with contextlib.suppress(OSError):
            read_within(root, path, 100)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_files_of_the_kernel_are_not_read() -> None:
    """They may change by being read, as /proc/kmsg does; a configuration is none of them."""
    for path in ("/proc/self/status", "/proc/kmsg"):
        with pytest.raises(OSError, match="of the kernel"):
            read_within(Path("/"), path, 1 << 16)
