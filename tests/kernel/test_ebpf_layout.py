"""What Python packs and unpacks is what the compiled programs have: by the types that came with them."""

import contextlib
import itertools
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from monitor.ebpf import drop_locations, frequent, xdp
from monitor.ebpf.compiled_cache import VARIABLE
from monitor.ebpf.loader import load
from monitor.ebpf.messages import XDP, LoadRequest
from monitor.ebpf.reasons import ReasonClass
from monitor.sources.drops import reader as drops
from monitor.sources.drops.counter_index import BY_ALL, BY_REASON, CounterIndex
from monitor.sources.drops.kinds import FAMILIES
from monitor.sources.drops.reader import DropCounters
from monitor.sources.drops.settings import DropCounting, DropsSettings
from tests.support.bpf import map_types, run_once

pytestmark = pytest.mark.kernel

_U32, _U64, _U8 = struct.Struct("=I"), struct.Struct("=Q"), struct.Struct("=B")
_OFFENDER = struct.Struct(f"={drops._CLASSES}QQ16s")
_PAIR, _ADDRESS = struct.Struct("=QQ"), struct.Struct("=8s8s")
_WINDOW = frequent._WINDOW
_PREFIX4, _PREFIX6 = (struct.Struct(xdp._LENGTH.format + tail) for tail in ("4s", "16s"))

SHAPES: Mapping[str, tuple[struct.Struct, str]] = {
    # C's name: what Python takes it for, and its members
    "location": (drop_locations._LOCATION, "address reason netns has_no_protocol"),
    "netns_drops": (drops._COUNTS, "packets" + " -" * (drops._CLASSES - 1)),
    "drop_count": (_PAIR, "packets bytes"),
    "source": (_ADDRESS, "high low"),
    "offender": (_OFFENDER, "packets" + " -" * (drops._CLASSES - 1) + " tunnelled outer"),
    "prober": (drops._PROBER, "stealth ports"),
    "peer": (drops._PEER, "length address"),
    "sketch_window": (_WINDOW, "total epoch"),
    "ban": (xdp._BAN, "until_ns packets bytes"),
    "stop_count": (_PAIR, "packets bytes"),
    "address6": (_ADDRESS, "high low"),
    "prefix4": (_PREFIX4, "length address"),
    "prefix6": (_PREFIX6, "length address"),
    "sender": (_PAIR, "syn udp"),
    "int": (_U32, ""),
    "unsigned int": (_U32, ""),
    "unsigned long long": (_U64, ""),
    "unsigned char": (_U8, ""),
}

REQUESTS = (
    drops.program_request(1, DropCounting(DropsSettings(pods=20))),
    drop_locations.program_request(),
    xdp.program_request(max_bans=9, max_prefixes=9),
)
INDEX_PROGRAM = """
#include <linux/bpf.h>
#include "drop_index.h"
int index_of(struct xdp_md *ctx)
{
	u32 *digits = (void *)(long)ctx->data;
	if ((void *)(digits + 5) > (void *)(long)ctx->data_end)
		return -1;
	return drop_index(digits[0], digits[1], digits[2], digits[3], digits[4]);
}
"""


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the programs compiled: the types of maps come from the compiler, and are not kept."""
    monkeypatch.delenv(VARIABLE)


def _offsets(shape: struct.Struct, names: str) -> dict[str, int]:
    """Return where each member begins, by the format; `-` is more of the one before."""
    codes = list(_items(shape.format.removeprefix("=")))
    begins = itertools.accumulate((struct.calcsize(f"={code}") for code in codes), initial=0)
    return {name: begin for name, begin in zip(names.split(), begins, strict=False) if name != "-"}


def _items(text: str) -> Iterator[str]:
    """Split a format into its items: `2Q16s` is `Q`, `Q`, `16s`."""
    number = ""
    for letter in text:
        if letter.isdigit():
            number += letter
            continue
        if letter == "s":
            yield number + letter
        else:
            yield from letter * int(number or 1)
        number = ""


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.source)
def test_every_key_and_value(request_: LoadRequest) -> None:
    """Size, names and offsets of the members of all that maps hold are what Python's formats say."""
    seen = set()
    with contextlib.closing(load(request_)) as loaded:
        for name, (descriptor, shape) in loaded.maps.items():
            types, *numbers = map_types(descriptor)
            for number, size_bytes in zip(numbers, (shape.key_bytes, shape.value_bytes), strict=True):
                word, true_bytes = types.describe(number)
                expected, members = SHAPES[word]
                assert (expected.size, size_bytes) == (true_bytes, true_bytes), (name, word)
                assert types.offsets(word) == _offsets(expected, members), (name, word)
                seen.add(word)
    assert len(seen) >= (3 if request_.source == "drop_locations.c" else 6)


@pytest.mark.parametrize("index", [BY_ALL, BY_REASON], ids=["by_all", "by_reason"])
def test_counters_are_where_python_reads_them(index: CounterIndex, tmp_path: Path) -> None:
    """C's arithmetic makes of all that Python's makes of a number that very number, for as many slots as come.

    Each of them is another thing: reasons, families, directions and the two marks are all there.
    """
    source = tmp_path / "index.c"
    source.write_text(INDEX_PROGRAM)
    slots, kinds = 200, len(FAMILIES) * index.directions * index.tunnelled * index.foreign
    with contextlib.closing(load(LoadRequest(str(source), {"index_of": XDP}, (), index.macros))) as loaded:
        program = loaded.functions["index_of"]
        split = [index.split(number) for number in range(slots * kinds)]
        found = [run_once(program, struct.pack("=5I", *digits))[0] for digits in split]
    assert found == list(range(slots * kinds))
    limits = (slots, len(FAMILIES), index.directions, index.tunnelled, index.foreign)
    assert split == sorted(itertools.product(*map(range, limits)))


def test_the_classes_fit() -> None:
    """There is a counter for each class of reason, and the maps have the sizes that Python says."""
    assert len(ReasonClass) <= drops._CLASSES
    assert drops._CLASSES.bit_count() == 1
    with contextlib.closing(DropCounters(DropCounting(DropsSettings()))) as counters:
        assert counters._maps["drop_offenders"].shape.max_entries == DropCounters.MAX_OFFENDERS
        assert counters._maps["drop_probers"].shape.max_entries == DropCounters.MAX_PROBERS
    with contextlib.closing(xdp.XdpProgram(max_bans=16, max_prefixes=16)) as program:
        assert program._maps["xdp_senders"].shape.max_entries == xdp.MAX_SENDERS
