"""Block lists for tests: networks in columns, and copies on disk as the child leaves them."""

import time
from array import array
from collections.abc import Iterable
from pathlib import Path

from hypothesis import strategies as st

from monitor.lists.file import ListCopy, ListHeader, PackedNetworks, list_path, write_list
from monitor.model.addresses import Network, network_of, parse_network


def pack(networks: Iterable[Network]) -> PackedNetworks:
    """Return networks, which must not overlap, in columns."""
    ordered = sorted(networks)
    v4 = [one for one in ordered if len(one.address) == 4]
    v6 = [one for one in ordered if len(one.address) == 16]
    return PackedNetworks(
        array("I", [int.from_bytes(one.address) for one in v4]),
        bytes(one.prefix_length for one in v4),
        b"".join(one.address for one in v6),
        bytes(one.prefix_length for one in v6),
    )


def write_copy(state: Path, name: str, networks: Iterable[Network | str], lasts_s: float = 3600.0) -> None:
    """Write the copy of a list, which expires so long from now."""
    packed = pack(parse_network(one) if isinstance(one, str) else one for one in networks)
    now_s = time.time()
    counts = len(packed.v4_lengths), len(packed.v6_lengths)
    header = ListHeader(name, now_s, now_s + lasts_s, "https://example.org", "", 1, packed.digest(), *counts)
    path = list_path(state, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_list(path, ListCopy(header, packed))


def disjoint(networks: Iterable[Network]) -> list[Network]:
    """Return the networks that lie in no other, sorted by family and address."""
    kept: list[Network] = []
    for one in sorted(set(networks), key=lambda one: (len(one.address), one.address, one.prefix_length)):
        if not (kept and kept[-1].overlaps(one)):
            kept.append(one)
    return kept


def _crowded(draw: st.DrawFn) -> Network:
    """Draw a network near the start or the end of a family, where many meet."""
    size = draw(st.sampled_from((4, 16)))
    bits = 8 * size
    number = draw(st.integers(0, 63)) + draw(st.sampled_from((0, (1 << bits) - 64)))
    return network_of(number.to_bytes(size), bits - draw(st.sampled_from((0, 0, 0, 1, 2, 3, 5))))


crowded_lists = st.lists(st.composite(_crowded)(), max_size=40).map(disjoint)
"""Lists whose networks are near one another, of both families."""
