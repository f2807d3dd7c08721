"""The last good copy of a list on disk: what is written is read, and nothing else is."""

import os
import random
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.lists.file import (
    ListCopy,
    ListFileError,
    ListHeader,
    PackedNetworks,
    list_path,
    read_header,
    read_list,
    write_list,
)
from monitor.model.addresses import Network, parse_network

TEXTS = (
    "192.0.2.1",
    "198.51.100.0/24",
    "203.0.113.0/25",
    "255.255.255.255",
    "2001:db8::/32",
    "2001:db9::1",
    "ffff::/16",
)


def packed(*texts: str) -> PackedNetworks:
    """Return networks that are sorted already."""
    networks = list(map(parse_network, texts))
    v4 = [one for one in networks if len(one.address) == 4]
    v6 = [one for one in networks if len(one.address) == 16]
    return PackedNetworks(
        array("I", [int.from_bytes(one.address) for one in v4]),
        bytes(one.prefix_length for one in v4),
        b"".join(one.address for one in v6),
        bytes(one.prefix_length for one in v6),
    )


def copy_of(networks: PackedNetworks) -> ListCopy:
    """Return a copy with these networks."""
    v4, v6 = len(networks.v4_lengths), len(networks.v6_lengths)
    return ListCopy(
        ListHeader("drop", 1000.0, 2000.0, "https://example.org/drop", "free", 7, networks.digest(), v4, v6), networks
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Header and networks come back, for the group of the daemon to read, and nothing else is left behind."""
    path = tmp_path / "drop.list"
    for copy in (copy_of(packed(*TEXTS)), copy_of(packed())):
        write_list(path, copy)
        assert read_list(path) == copy
        assert read_header(path) == copy.header
        assert list(read_list(path).networks.networks()) == list(copy.networks.networks())
    assert list(packed(*TEXTS).networks()) == list(map(parse_network, TEXTS))
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]
    assert list_path(Path("/var/lib/nodewarden"), "drop") == Path("/var/lib/nodewarden/lists/drop.list")


def test_the_digest_tells_networks_apart() -> None:
    """The same networks have one digest, others another, and it does not depend on the machine's byte order."""
    assert packed(*TEXTS).digest() == packed(*TEXTS).digest()
    assert packed("192.0.2.0/24").digest() != packed("192.0.2.0/25").digest()
    assert packed("1.2.3.4").columns()[0] == b"\x01\x02\x03\x04"


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    """A flipped bit anywhere, a file cut anywhere, and bytes behind the end are all a ListFileError."""
    path = tmp_path / "drop.list"
    write_list(path, copy_of(packed(*TEXTS)))
    whole = path.read_bytes()
    damaged = [
        whole[:index] + bytes((whole[index] ^ 1 << index % 8,)) + whole[index + 1 :] for index in range(len(whole))
    ]
    damaged += [whole[:length] for length in range(len(whole))]
    damaged += [whole + b"\0", b"", random.Random(1).randbytes(200), whole.replace(b"NWLIST1", b"NWLIST2")]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ListFileError):
            read_list(path)


@pytest.mark.parametrize(
    "texts",
    [
        ("192.0.2.2", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::2", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8::1"),
    ],
)
def test_networks_out_of_order_are_refused(tmp_path: Path, texts: tuple[str, ...]) -> None:
    """A table that is searched by bisection must be sorted, whoever wrote the file."""
    write_list(tmp_path / "x.list", copy_of(packed(*texts)))
    with pytest.raises(ListFileError, match="not in order"):
        read_list(tmp_path / "x.list")


@pytest.mark.parametrize(
    "networks",
    [
        PackedNetworks(array("I", [1]), b"\x21", b"", b""),
        PackedNetworks(array("I", [0xC0000201]), b"\x18", b"", b""),
        PackedNetworks(array("I"), b"", bytes(15) + b"\1", b"\x7f"),
        PackedNetworks(array("I"), b"", bytes(16), b"\x81"),
    ],
)
def test_impossible_networks_are_refused(tmp_path: Path, networks: PackedNetworks) -> None:
    """Prefixes that are too long, and host bits."""
    write_list(tmp_path / "x.list", copy_of(networks))
    with pytest.raises(ListFileError, match="not in order"):
        read_list(tmp_path / "x.list")


def test_order_is_checked_across_slices(tmp_path: Path) -> None:
    """A long list is verified in slices: their borders count, too."""
    numbers = list(range(0, 30_000, 2))
    for index in (4095, 4096, 8191, 14_999):
        wrong = PackedNetworks(
            array("I", [*numbers[:index], numbers[index - 1], *numbers[index:]]), b"\x20" * 15_001, b"", b""
        )
        write_list(tmp_path / "x.list", copy_of(wrong))
        with pytest.raises(ListFileError, match="not in order"):
            read_list(tmp_path / "x.list")
    write_list(tmp_path / "x.list", copy_of(PackedNetworks(array("I", numbers), b"\x20" * 15_000, b"", b"")))
    assert next(read_list(tmp_path / "x.list").networks.networks()) == Network(bytes(4), 32)


def _symlink(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, _symlink])
def test_only_a_regular_file_is_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A FIFO does not block, and a link is not followed."""
    path = tmp_path / "x.list"
    make(path)
    with pytest.raises((ListFileError, OSError)):
        read_list(path)
    with pytest.raises(FileNotFoundError):
        read_list(tmp_path / "none.list")


def test_a_failed_write_leaves_the_old_copy(tmp_path: Path) -> None:
    """A disk that is full costs the update, not the copy."""
    path = tmp_path / "x.list"
    write_list(path, copy_of(packed("192.0.2.1")))
    (tmp_path / ".x.list.new").mkdir()  # what cannot be removed as a file
    with pytest.raises(OSError):  # noqa: PT011
        write_list(path, copy_of(packed("192.0.2.2")))
    assert read_list(path).networks == packed("192.0.2.1")
