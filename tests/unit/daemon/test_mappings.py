"""What of programs and libraries is unmapped: never a page that the file does not have as well."""

import subprocess
import sys

from monitor.daemon.life.mappings import clean

_SIZES = (
    "Size: 4 kB\nRss: 4 kB\nPrivate_Dirty: {dirty} kB\nReferenced: 4 kB\nAnonymous:  {anonymous} kB\nVmFlags: rd ex\n"
)


def mapping(start: int, permissions: str, path: str, anonymous: int = 0, dirty: int = 0) -> str:
    sizes = _SIZES.format(anonymous=anonymous, dirty=dirty)
    return f"{start:x}-{start + 4096:x} {permissions} 00000000 08:01 1234      {path}\n{sizes}"


def test_only_what_the_file_has_is_unmapped() -> None:
    smaps = "".join(
        [
            mapping(0x1000, "r-xp", "/usr/bin/python3.11"),
            mapping(0x2000, "r--p", "/usr/lib/a library (deleted)"),
            mapping(0x3000, "r--s", "/var/log/journal/x/system.journal"),
            mapping(0x4000, "r-xp", "/usr/lib/probed.so", anonymous=4),
            mapping(0x5000, "r--p", "/usr/lib/relocated.so", anonymous=4, dirty=4),
            mapping(0x6000, "rw-p", "/usr/lib/data.so"),
            mapping(0x7000, "rw-s", "/var/lib/nodewarden/nodewarden.db-shm"),
            mapping(0x8000, "rwxp", "/usr/lib/odd.so"),
            mapping(0x9000, "r--s", "anon_inode:bpf-map"),
            mapping(0xA000, "r-xp", "[vdso]"),
            mapping(0xB000, "r--p", ""),
            mapping(0xC000, "r-xp", "/usr/lib/last.so"),
        ]
    )
    assert [start for start, _ in clean(smaps)] == [0x1000, 0x2000, 0x3000, 0xC000]
    assert list(clean("what no kernel writes\n")) == []


def test_what_was_unmapped_is_still_there() -> None:
    """A process goes on, with less memory resident; what it calls next is mapped again."""
    code = (
        "import ctypes, json, sqlite3, re; from pathlib import Path; from monitor.daemon.life import mappings\n"
        "size = lambda: int(re.search(r'RssFile:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before, _ = size(), mappings.release(); after = size()\n"
        "assert after < 0.7 * before, (before, after)\n"
        "assert sqlite3.connect(':memory:').execute('select 6*7').fetchone() == (42,)\n"
        "assert json.loads(json.dumps({'a': [1.5]})) == {'a': [1.5]}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
