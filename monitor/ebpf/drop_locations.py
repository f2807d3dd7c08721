"""Counts the kernel functions that drop packets, by `bpf/drop_locations.c`, while a command asks for them."""

import os
import struct
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec

from monitor.ebpf.kallsyms import KALLSYMS, name_locations
from monitor.ebpf.loader import LoadedProgram, load
from monitor.ebpf.macros import numbered
from monitor.ebpf.maps import Map, PerCpuArray, attach_raw_tracepoint
from monitor.ebpf.messages import RAW_TRACEPOINT, LoadRequest
from monitor.ebpf.reasons import Fate, fate

_PROGRAM, _MAPS = "kfree_skb", ("drop_locations", "drop_location_events")
_EVENTS = ("lost_locations",)
_MAX_LOCATIONS = 8192
_LOCATION, _COUNT = struct.Struct("=QQII"), struct.Struct("=Q")


def program_request() -> LoadRequest:
    """Return the request to compile and load the program."""
    macros = {"MAX_LOCATIONS": _MAX_LOCATIONS, **numbered("EVENT", _EVENTS, count="EVENTS")}
    return LoadRequest("drop_locations.c", {_PROGRAM: RAW_TRACEPOINT}, _MAPS, macros, needs_layout=True)


class DropLocation(msgspec.Struct, frozen=True):
    """Packets that one location in the kernel dropped for one reason."""

    packets: int
    reason: str
    function: str
    """`name+0xoffset`; only the address if the kernel hides its symbols (kernel.kptr_restrict)."""


class Released(msgspec.Struct):
    """Buffers that the kernel reports as dropped although no packet was lost, by what became of them (`Fate`)."""

    no_packet: int = 0
    teardown: int = 0


class DropLocations:
    """The program, attached for the duration of a `with` block; counts in all network namespaces."""

    def __init__(self) -> None:
        """Compile, load and attach; raises the errors of `load`."""
        self._loaded: LoadedProgram = load(program_request())
        try:
            self._locations = Map(*self._loaded.maps["drop_locations"])
            self._events = PerCpuArray(*self._loaded.maps["drop_location_events"])
            self._attachment = attach_raw_tracepoint(self._loaded.functions[_PROGRAM], _PROGRAM)
        except BaseException:
            self._loaded.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Detach and unload."""
        os.close(self._attachment)
        self._loaded.close()

    def read(self, most: int) -> tuple[list[DropLocation], Released, int]:
        """Return the locations with the most drops, what was no lost packet, and how many packets did not fit."""
        counted: Counter[tuple[int, int]] = Counter()
        released = Released()
        for packets, address, number, _, became in self._counted():
            if became is Fate.DROPPED:
                counted[address, number] += packets
            elif became is Fate.NO_PACKET:
                released.no_packet += packets
            else:
                released.teardown += packets
        busiest = sorted(((packets, *where) for where, packets in counted.items()), reverse=True)[:most]
        with KALLSYMS.open() as lines:
            names = name_locations(lines, {address for _, address, _ in busiest})
        shown = [
            DropLocation(packets, self._loaded.reasons.name(number), names.get(address, f"{address:#x}"))
            for packets, address, number in busiest
        ]
        return shown, released, self._lost()

    def read_by_namespace(self) -> tuple[dict[tuple[int, str], int], int]:
        """Return packets by network namespace (inode number, 0: not known) and reason, and how many did not fit."""
        totals: Counter[tuple[int, str]] = Counter()
        for packets, _, number, netns, became in self._counted():
            if became is Fate.DROPPED:
                totals[netns, self._loaded.reasons.name(number)] += packets
        return dict(totals), self._lost()

    def _counted(self) -> Iterator[tuple[int, int, int, int, Fate]]:
        """Yield packets, address, number of the reason, namespace, and what became of them."""
        for key, value in self._locations.items():
            address, number, netns, has_no_protocol = _LOCATION.unpack(key)
            name = self._loaded.reasons.name(number)
            became = fate(name, has_protocol=not has_no_protocol, was_queued=not netns and not has_no_protocol)
            yield _COUNT.unpack(value)[0], address, number, netns, became

    def _lost(self) -> int:
        return self._events.read().get(_EVENTS.index("lost_locations"), (0,))[0]
