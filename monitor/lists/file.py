"""The last good copy of a block list on disk: `STATE/lists/NAME.list`.

The child that fetches writes it, the daemon reads it. In this order: magic with version, length of the header (u32),
the header as MessagePack, IPv4 addresses (u32 each), their prefix lengths (u8 each), IPv6 addresses (16 bytes each),
their prefix lengths (u8 each), SHA-256 of all before. Numbers are big-endian. The networks of each family are sorted
and do not overlap. A copy is replaced in one step; whatever is wrong with one is a ListFileError.
"""

import contextlib
import hashlib
import os
import stat
import sys
from array import array
from collections.abc import Iterator
from itertools import islice, repeat
from operator import add, and_, le, sub
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import msgspec
from msgspec import Meta

from monitor.files.digests import add_in_parts
from monitor.files.replaced import replace_file
from monitor.model.addresses import Network

MAX_ENTRIES = 1_048_576
"""The most networks of one list."""
_MAGIC = b"NWLIST1\n"
_MAX_HEADER_BYTES = 8192
_DIGEST_BYTES = 32
MODE = 0o640
"""Of files of lists: the daemon's group may read them."""
_SLICE = 4096
_V4_SIZES = [1 << (32 - length) for length in range(33)]
_Text = Annotated[str, Meta(max_length=512)]
_Time = Annotated[float, Meta(ge=0.0, le=2.0**53)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Entries = Annotated[int, Meta(ge=0, le=MAX_ENTRIES)]


class ListFileError(ValueError):
    """The file of a list is not usable; the text says why, for people."""


class PackedNetworks(NamedTuple):
    """Networks of both families in columns, sorted by address; 5 bytes for one of IPv4, 17 for one of IPv6."""

    v4: "array[int]"
    """Addresses as numbers, type code `I`."""
    v4_lengths: bytes
    v6: bytes
    """Addresses, 16 bytes each."""
    v6_lengths: bytes

    @property
    def total(self) -> int:
        """How many networks there are."""
        return len(self.v4_lengths) + len(self.v6_lengths)

    def networks(self) -> Iterator[Network]:
        """Yield them in order, those of IPv4 first."""
        for number, length in zip(self.v4, self.v4_lengths, strict=True):
            yield Network(number.to_bytes(4), length)
        for index, length in enumerate(self.v6_lengths):
            yield Network(self.v6[16 * index : 16 * index + 16], length)

    def digest(self) -> str:
        """Return what tells these networks from others, in hexadecimal digits."""
        found = hashlib.sha256()
        for column in self.columns():
            found.update(column)
        return found.hexdigest()

    def columns(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Return the columns as they are on disk."""
        addresses = array("I", self.v4)
        if sys.byteorder == "little":
            addresses.byteswap()
        return addresses.tobytes(), self.v4_lengths, self.v6, self.v6_lengths


class ListHeader(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a copy; times are wall time in seconds since the epoch."""

    name: Annotated[str, Meta(max_length=32)]
    fetched_s: _Time
    """When the source last had this content: a later `not modified` renews it."""
    expires_s: _Time
    """When the copy must no longer be enforced, unless it is renewed."""
    source: _Text
    """The URL without its query, or the path."""
    licence: _Text
    """What the list says of its licence; empty if nothing."""
    lines: _Count
    """Lines of the source, comments included."""
    digest: Annotated[str, Meta(max_length=64)]
    """`PackedNetworks.digest`: equal for the same networks."""
    entries4: _Entries
    entries6: _Entries


class ListCopy(NamedTuple):
    """A copy as it was read."""

    header: ListHeader
    networks: PackedNetworks


def list_path(state: Path, name: str) -> Path:
    """Return where the copy of a list is, given the state directory."""
    return state / "lists" / f"{name}.list"


def write_list(path: Path, copy: ListCopy) -> None:
    """Replace the copy at `path`; OSError if that fails, then the old one is as it was."""
    header = _encode(copy.header)
    parts = (_MAGIC, len(header).to_bytes(4), header, *copy.networks.columns())
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    replace_file(path, *parts, digest.digest(), mode=MODE)


def read_list(path: Path) -> ListCopy:
    """Read a copy and verify all of it: digest, order, lengths.

    FileNotFoundError if there is none, other OSErrors if it cannot be read, ListFileError if it is damaged. Takes about
    0.3 s for a million networks of IPv4, and yields to other threads; memory is bounded by MAX_ENTRIES.
    """
    with _opened(path) as file:
        digest = hashlib.sha256()
        header, size = _read_header(file, digest)
        v4: array[int] = array("I", _take(file, 4 * header.entries4, digest))
        if sys.byteorder == "little":
            v4.byteswap()
        v4_lengths = _take(file, header.entries4, digest)
        v6 = _take(file, 16 * header.entries6, digest)
        v6_lengths = _take(file, header.entries6, digest)
        expected = size + 5 * header.entries4 + 17 * header.entries6 + _DIGEST_BYTES
        if os.fstat(file.fileno()).st_size != expected or file.read(_DIGEST_BYTES) != digest.digest():
            raise ListFileError("it is damaged: its digest does not match")
    networks = PackedNetworks(v4, v4_lengths, v6, v6_lengths)
    if not _is_sound(networks):
        raise ListFileError("it is damaged: its networks are not in order")
    return ListCopy(header, networks)


def read_header(path: Path) -> ListHeader:
    """Read what is known of a copy, without its networks; errors as for `read_list`. Nothing is verified."""
    with _opened(path) as file:
        return _read_header(file, hashlib.sha256())[0]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ListFileError("it is not a regular file")
        yield file


def _read_header(file: BinaryIO, digest: "hashlib._Hash") -> tuple[ListHeader, int]:
    """Return the header, and how many bytes were read."""
    magic = _take(file, len(_MAGIC), digest)
    if magic != _MAGIC:
        is_later = magic.startswith(_MAGIC[:6]) and magic.endswith(b"\n")
        raise ListFileError("it is of another version" if is_later else "it is no copy of a list")
    size = int.from_bytes(_take(file, 4, digest))
    if size > _MAX_HEADER_BYTES:
        raise ListFileError("it is damaged: its header is too long")
    try:
        header = _decode(_take(file, size, digest))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ListFileError(f"it is damaged: {error}") from None
    return header, len(_MAGIC) + 4 + size


def _take(file: BinaryIO, size: int, digest: "hashlib._Hash") -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ListFileError("it is damaged: it ends early")
    add_in_parts(digest, data)
    return data


def _is_sound(networks: PackedNetworks) -> bool:
    """Whether all lengths are possible, and each network ends before the next starts."""
    end = 0
    if any(length > 32 for length in set(networks.v4_lengths)) or any(
        length > 128 for length in set(networks.v6_lengths)
    ):
        return False
    for index in range(0, len(networks.v4), _SLICE):  # in slices: a thread that never yields would stop the loop
        v4 = networks.v4[index : index + _SLICE]
        sizes = [_V4_SIZES[length] for length in networks.v4_lengths[index : index + _SLICE]]
        ends = list(map(add, v4, sizes))
        if v4[0] < end or not all(map(le, ends, islice(v4, 1, None))) or any(map(and_, v4, map(sub, sizes, repeat(1)))):
            return False
        end = ends[-1]
    if end > 1 << 32:
        return False
    end = 0
    for index, length in enumerate(networks.v6_lengths):
        number, size = int.from_bytes(networks.v6[16 * index : 16 * index + 16]), 1 << (128 - length)
        if number < end or number & (size - 1):
            return False
        end = number + size
    return True


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ListHeader).decode
