"""Counts the kernel functions that drop packets, by `bpf/drop_locations.c`, while a command asks for them."""

import os
import struct
from types import TracebackType
from typing import Self

import msgspec

from monitor.ebpf.kallsyms import KALLSYMS, name_locations
from monitor.ebpf.loader import LoadedProgram, load
from monitor.ebpf.macros import numbered
from monitor.ebpf.maps import Map, PerCpuArray, attach_raw_tracepoint
from monitor.ebpf.messages import RAW_TRACEPOINT, LoadRequest

_PROGRAM, _MAPS = "kfree_skb", ("drop_locations", "drop_location_events")
_EVENTS = ("lost_locations",)
_MAX_LOCATIONS = 2048
_LOCATION, _COUNT = struct.Struct("=QQ"), struct.Struct("=Q")


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

    def read(self, most: int) -> tuple[list[DropLocation], int]:
        """Return the locations with the most drops, and the number of packets of locations that did not fit."""
        counted = [(_COUNT.unpack(value)[0], *_LOCATION.unpack(key)) for key, value in self._locations.items()]
        counted.sort(reverse=True)
        del counted[most:]
        with KALLSYMS.open() as lines:
            names = name_locations(lines, {address for _, address, _ in counted})
        shown = [
            DropLocation(packets, self._loaded.reasons.name(reason), names.get(address, f"{address:#x}"))
            for packets, address, reason in counted
        ]
        return shown, self._events.read().get(_EVENTS.index("lost_locations"), (0,))[0]
