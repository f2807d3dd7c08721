"""Flipped bits anywhere in the file: no ban is lost while the second copy is intact, and none is made up."""

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from monitor.model.addresses import Network
from monitor.model.bans import Ban
from monitor.state.changes import Allowed
from monitor.state.salvage import copy_path
from monitor.state.store import Store
from tests.unit.bans.store_support import BAN, OFFENCE, changes, set_aside

_BANS = frozenset(
    msgspec.structs.replace(BAN, network=Network(bytes((10, 0, number >> 8, number & 255)), 32), until_s=5e9 + number)
    for number in range(300)
)
_ALLOWED = frozenset(Allowed(Network(bytes((192, 0, 2, number)), 32), f"reason {number}", 1.0) for number in range(20))
_PAGE_BYTES = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a store whose second copy has everything, with free pages."""
    path = tmp_path / "nodewarden.db"
    store = Store.open(path)
    store.write(changes(*_BANS, *_ALLOWED, *[OFFENCE] * 200))
    store.purge(0.0, 60)
    store.copy()
    store.close()
    return path


def _flip(path: Path, content: bytes, bits: list[int]) -> None:
    damaged = bytearray(content)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)


def _read(path: Path) -> tuple[frozenset[Ban], frozenset[Allowed]]:
    store = Store.open(path)
    try:
        found = frozenset(store.bans()), frozenset(store.allowed())
        assert len(list(store.offences(0.0))) <= 200
        store.write(changes(OFFENCE))
        return found
    finally:
        store.close()


def _clear(path: Path, keep: set[Path]) -> None:
    for file in set(path.parent.iterdir()) - keep:
        file.unlink()


def test_no_flipped_bit_loses_or_makes_up_a_ban(path: Path) -> None:
    """One bit of each kind of place, in the header, in pages, in free space: all bans and allowed networks are back."""
    content, keep = path.read_bytes(), {path, copy_path(path)}
    chance = random.Random(15)
    places = [chance.randrange(100 * 8) for _ in range(40)]
    places += [
        (page * _PAGE_BYTES + chance.randrange(_PAGE_BYTES)) * 8 + chance.randrange(8)
        for page in range(len(content) // _PAGE_BYTES)
    ]
    places += [chance.randrange(len(content) * 8) for _ in range(40)]
    wrong = []
    for bit in places:
        _flip(path, content, [bit])
        if _read(path) != (_BANS, _ALLOWED):
            wrong.append(divmod(bit, 8))
        _clear(path, keep)
    assert wrong == []


def test_damage_in_both_never_makes_up_a_ban(path: Path) -> None:
    """With bits flipped in the copy as well, what is read is true, and it is most of it."""
    content, copied, keep = path.read_bytes(), copy_path(path).read_bytes(), {path, copy_path(path)}
    chance = random.Random(16)
    found = 0
    for _ in range(25):
        for file, bytes_ in ((path, content), (copy_path(path), copied)):
            _flip(file, bytes_, [chance.randrange(len(bytes_) * 8) for _ in range(4)])
        bans, allowed = _read(path)
        assert bans <= _BANS
        assert allowed <= _ALLOWED
        found += len(bans)
        _clear(path, keep)
    assert found > 20 * len(_BANS)


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(50_000))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _head_zeroed(path: Path) -> None:
    path.write_bytes(bytes(_PAGE_BYTES) + path.read_bytes()[_PAGE_BYTES:])


@pytest.mark.parametrize("damage", [_emptied, _garbage, _cut, _head_zeroed])
def test_a_lost_file_is_made_of_its_copy(path: Path, damage: Callable[[Path], None]) -> None:
    """Whatever is left of the file, the copy has the bans; the operator is told, and the damaged file is kept."""
    damage(path)
    store = Store.open(path)
    assert not store.is_new
    assert frozenset(store.bans()) == _BANS
    (notice,) = store.notices
    (kept,) = set_aside(path, "corrupt")
    assert kept.name in notice
    assert "rows" in notice
    store.close()


def test_what_was_removed_since_the_copy_stays_removed(path: Path) -> None:
    """Damage that leaves all rows of the table readable: the file is believed, not the older copy."""
    store = Store.open(path)
    removed = min(_BANS, key=lambda ban: ban.until_s)
    gone = changes()
    gone.remove_ban((removed.network, removed.strength, removed.origin, removed.detector))
    store.write(gone)
    store.close()
    content = bytearray(path.read_bytes())
    content[39] ^= 1  # the number of free pages
    path.write_bytes(content)
    assert _read(path)[0] == _BANS - {removed}
    assert set_aside(path, "corrupt")


def test_a_copy_is_not_replaced_by_a_damaged_one(path: Path) -> None:
    """A row that changed under us is noticed when the file is copied; the copy keeps what it has."""
    before = copy_path(path).read_bytes()
    content = path.read_bytes()
    assert content.count(b"reason 7") == 1
    store = Store.open(path)
    path.write_bytes(content.replace(b"reason 7", b"reason 8"))
    with pytest.raises(Exception, match="allowed do not match their checksums"):
        store.copy()
    store.close()
    assert copy_path(path).read_bytes() == before
    assert _read(path) == (_BANS, _ALLOWED)
