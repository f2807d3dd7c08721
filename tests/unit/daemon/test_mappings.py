"""What of programs and libraries is unmapped: never a page that the file does not have as well."""

import ctypes
import mmap
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.daemon.life import mappings
from monitor.daemon.life.mappings import clean
from tests.support.native import extension

_SIZES = (
    "Size: 4 kB\nRss: 4 kB\nPrivate_Dirty: {dirty} kB\nReferenced: 4 kB\nAnonymous:  {anonymous} kB\n"
    "AnonHugePages: 0 kB\nSwap:   {swap} kB\nSwapPss: 0 kB\nVmFlags: rd ex\n"
)


def mapping(start: int, permissions: str, path: str, anonymous: int = 0, dirty: int = 0, swap: int = 0) -> str:
    sizes = _SIZES.format(anonymous=anonymous, dirty=dirty, swap=swap)
    return f"{start:x}-{start + 4096:x} {permissions} 00000000 08:01 1234      {path}\n{sizes}"


def test_only_what_the_file_has_is_unmapped() -> None:
    smaps = "".join(
        [
            mapping(0x1000, "r-xp", "/usr/bin/python3.11"),
            mapping(0x2000, "r--p", "/usr/lib/a library (deleted)"),
            mapping(0x3000, "r--s", "/var/log/journal/x/system.journal"),
            mapping(0x4000, "r-xp", "/usr/lib/probed.so", anonymous=4),
            mapping(0x5000, "r--p", "/usr/lib/relocated.so", anonymous=4, dirty=4),
            mapping(0x5800, "r--p", "/usr/lib/swapped.so", swap=4),
            mapping(0x6000, "rw-p", "/usr/lib/data.so"),
            mapping(0x7000, "rw-s", "/var/lib/nodewarden/nodewarden.db-shm"),
            mapping(0x8000, "rwxp", "/usr/lib/odd.so"),
            mapping(0x9000, "r--s", "anon_inode:bpf-map"),
            mapping(0xA000, "r-xp", "[vdso]"),
            mapping(0xB000, "r--p", ""),
            mapping(0xC000, "r-xp", "/usr/lib/last.so"),
        ]
    )
    assert [start for start, _, _ in clean(smaps)] == [0x1000, 0x2000, 0x3000, 0xC000]
    assert [is_journal for _, _, is_journal in clean(smaps)] == [False, False, True, False]
    assert list(clean("what no kernel writes\n")) == []


def test_what_became_data_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file was unmapped after the list was read, and another thread got memory at its address."""
    data = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    data[:4] = b"data"
    start = ctypes.addressof(ctypes.c_char.from_buffer(data))
    listed = tmp_path / "smaps"
    listed.write_text(mapping(start, "r--p", "/etc/ld.so.cache"))
    monkeypatch.setattr(mappings, "_SMAPS", listed)
    mappings.release()
    assert data[:4] == b"data"


def test_relocated_data_is_never_unmapped() -> None:
    """Whatever the list says: here it says that all of the process is clean."""
    native = extension()
    whole = 1 << 47
    assert native.unmap_text([(0, whole)]) > 1 << 20
    assert native.unmap_text([(0, mmap.PAGESIZE), (whole, whole), (whole, 0)]) == 0
    with pytest.raises(ValueError, match="whole pages"):
        native.unmap_text([(1, mmap.PAGESIZE)])
    for odd in ([0], [(0,)], [("a", 0)], [(0, 0, 0)], 1):
        with pytest.raises(TypeError):
            native.unmap_text(odd)


def test_files_of_the_journal_are_unmapped_and_other_shared_ones_stay(tmp_path: Path) -> None:
    """They are read again from the page cache; the mapping itself stays."""
    extension()
    resident = {}
    for name in ("system.journal", "other.data"):
        path = tmp_path / name
        path.write_bytes(b"entry" * 100_000)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
            assert mapped[:].count(b"entry") == 100_000
            mappings.release()
            (found,) = re.findall(rf"{name}\n(?:.*\n)*?Rss: +(\d+)", Path("/proc/self/smaps").read_text())
            resident[name] = int(found)
            assert mapped[:].count(b"entry") == 100_000
    assert resident["system.journal"] == 0 < resident["other.data"]


def test_what_was_unmapped_is_still_there() -> None:
    """A process goes on, with less memory resident; what it calls next is mapped again."""
    extension()
    code = (
        "import ctypes, json, sqlite3, re; from pathlib import Path; from monitor.daemon.life import mappings\n"
        "size = lambda: int(re.search(r'RssFile:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before, _ = size(), mappings.release(); after = size()\n"
        "assert after < 0.7 * before, (before, after)\n"
        "assert sqlite3.connect(':memory:').execute('select 6*7').fetchone() == (42,)\n"
        "assert json.loads(json.dumps({'a': [1.5]})) == {'a': [1.5]}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
