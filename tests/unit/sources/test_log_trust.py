"""Who can write a log file."""

import os
import stat
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.files.permissions import Grants, file_writer, others
from monitor.model.writers import FileWriter, Grant, Holder, ordinary_reason

USER, GROUP_OBJECT, GROUP, MASK, OTHER = 0x02, 0x04, 0x08, 0x10, 0x20


def untrusted_reason(path: str, descriptor: int | None = None, known: dict[str, Grants] | None = None) -> str:
    """Return why ordinary accounts can have written a file."""
    return ordinary_reason(file_writer(path, descriptor, known))


def who(grants: Grants) -> str:
    """Return the first who is no system account."""
    reason = ordinary_reason(FileWriter("/x", "/x", grants))
    return reason.removesuffix(" may write it")


def status(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    """Return the status of a file."""
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return an access control list as the kernel does: tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give a file that nobody else can write."""
    path = tmp_path / "directory" / "log"
    path.parent.mkdir(mode=0o755)
    path.write_bytes(b"")
    path.chmod(0o640)
    return path


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "expected"),
    [
        (0o644, 0, 0, ""),
        (0o640, 104, 4, ""),
        (0o664, 33, 33, ""),
        (0o644, 70_000, 0, "account 70000"),
        (0o644, 65_534, 0, "account 65534"),
        (0o660, 0, 70_000, "group 70000"),
        (0o660, 0, 100, "group 100"),
        (0o646, 0, 0, "everybody"),
    ],
)
def test_modes(mode: int, uid: int, gid: int, expected: str) -> None:
    """System accounts and their groups may write; people, the group `users` and nobody may not."""
    assert who(others(status(mode, uid, gid))) == expected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([(USER, 4, 70_000), (GROUP_OBJECT, 4, 0), (MASK, 6, 0), (OTHER, 0, 0)], ""),
        ([(USER, 6, 104), (GROUP_OBJECT, 4, 0), (MASK, 6, 0), (OTHER, 0, 0)], ""),
        ([(USER, 6, 70_000), (GROUP_OBJECT, 4, 0), (MASK, 6, 0), (OTHER, 0, 0)], "account 70000"),
        ([(USER, 6, 70_000), (GROUP_OBJECT, 4, 0), (MASK, 4, 0), (OTHER, 0, 0)], ""),
        ([(GROUP, 6, 70_001), (MASK, 6, 0), (OTHER, 0, 0)], "group 70001"),
        ([(GROUP_OBJECT, 6, 0), (MASK, 6, 0), (OTHER, 0, 0)], "group 70002"),
        ([(GROUP_OBJECT, 6, 0), (MASK, 4, 0), (OTHER, 2, 0)], "everybody"),
    ],
)
def test_lists(entries: list[tuple[int, int, int]], expected: str) -> None:
    """An access control list counts with its mask, and takes the place of the group's permissions."""
    assert who(others(status(0o660, 0, 70_002), acl(*entries))) == expected


@given(st.binary(min_size=1, max_size=40))
def test_arbitrary_lists(data: bytes) -> None:
    """Whatever the list, there is an answer."""
    assert len(others(status(0o644), data)) <= 32


def test_facts_name_system_accounts_too() -> None:
    """The source reports everybody apart from root; what that means is for others to decide."""
    assert others(status(0o664, 33, 33)) == (Grant(Holder.ACCOUNT, 33), Grant(Holder.GROUP, 33))
    assert others(status(0o664)) == ()


def test_a_very_long_list_lets_everybody() -> None:
    """The facts are bounded; what is beyond the bound counts for the worst."""
    entries = [(USER, 6, 200 + number) for number in range(100)]
    found = others(status(0o644), acl(*entries, (MASK, 6, 0), (OTHER, 0, 0)))
    assert (len(found), found[-1].holder) == (32, Holder.EVERYBODY)


def test_the_real_thing(log: Path) -> None:
    """Below /tmp, which is sticky, a file of our own is trusted, by path and by descriptor, until its mode changes."""
    with log.open("rb") as file:
        assert untrusted_reason(str(log)) == ""
        assert untrusted_reason(str(log), file.fileno()) == ""
        log.chmod(0o666)
        assert untrusted_reason(str(log)) == "everybody may write it"
        assert untrusted_reason(str(log), file.fileno()) == "everybody may write it"


def test_a_list_of_the_real_thing(log: Path) -> None:
    """A list that the file system holds is seen."""
    entries = [(1, 6, 0xFFFFFFFF), (USER, 6, 70_000), (GROUP_OBJECT, 4, 0xFFFFFFFF), (MASK, 6, 0xFFFFFFFF)]
    try:
        os.setxattr(log, "system.posix_acl_access", acl(*entries, (OTHER, 0, 0xFFFFFFFF)))
    except OSError:
        pytest.skip("the file system has no access control lists")
    assert untrusted_reason(str(log)) == "account 70000 may write it"


def test_directories_count(log: Path) -> None:
    """Who may write a directory may put another file there, unless it is sticky."""
    log.parent.chmod(0o777)
    assert untrusted_reason(str(log)) == f"everybody may replace what is in {log.parent}"
    log.parent.chmod(0o1777)
    assert untrusted_reason(str(log)) == ""


def test_both_ways_of_a_link_count(log: Path, tmp_path: Path) -> None:
    """A link is as good as the directory it is in, and as what it leads to."""
    way = tmp_path / "links"
    way.mkdir(mode=0o755)
    (way / "log").symlink_to(log)
    assert untrusted_reason(str(way / "log")) == ""
    way.chmod(0o777)
    assert untrusted_reason(str(way / "log")) == f"everybody may replace what is in {way}"
    way.chmod(0o755)
    log.parent.chmod(0o777)
    assert untrusted_reason(str(way / "log")) == f"everybody may replace what is in {log.parent}"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_owners_of_the_real_thing(log: Path, tmp_path: Path) -> None:
    """A file, a directory (even a sticky one) or a link that belongs to a person proves nothing."""
    link = tmp_path / "link"
    link.symlink_to(log)
    os.chown(link, 70_000, 0, follow_symlinks=False)
    assert untrusted_reason(str(link)) == "account 70000 may lead it elsewhere"
    log.parent.chmod(0o1777)
    os.chown(log.parent, 70_000, 0)
    assert untrusted_reason(str(log)) == f"account 70000 may replace what is in {log.parent}"
    os.chown(log, 70_000, 0)
    assert untrusted_reason(str(log)) == "account 70000 may write it"


def test_what_is_not_there(tmp_path: Path) -> None:
    """What cannot be looked at is not trusted."""
    assert "No such file" in untrusted_reason(str(tmp_path / "none"))
    assert "not known" in untrusted_reason("/tmp/\0")


def test_directories_are_remembered(log: Path) -> None:
    """Between calls with the same memory a directory is looked at once."""
    known: dict[str, Grants] = {}
    assert untrusted_reason(str(log), None, known) == ""
    assert known[str(log.parent)] == ()
    log.parent.chmod(0o777)
    assert untrusted_reason(str(log), None, known) == ""
    assert untrusted_reason(str(log)) != ""
