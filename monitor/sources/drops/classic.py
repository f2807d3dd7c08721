"""Drop counters for a kernel without BTF types: by reason and family only."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from monitor.ebpf.loader import LoadedProgram, load
from monitor.ebpf.maps import PerCpuArray, attach_tracepoint, run_statistics
from monitor.ebpf.messages import CLASSIC_MODE, TRACEPOINT, LoadRequest
from monitor.ebpf.reasons import UNKNOWN
from monitor.ebpf.tracepoint_format import DropFormat, read_drop_format
from monitor.model.errors import PermanentError
from monitor.sources.drops.counter_index import BY_REASON
from monitor.sources.drops.kinds import FAMILIES, DropKind, Dropped, DropStats, DropTotals

_PROGRAM, _MAPS = "kfree_skb", ("drops",)
_EVENT = ("skb", "kfree_skb")
_TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))


def program_request(found: DropFormat) -> LoadRequest:
    """Return what to compile for a tracepoint of this format."""
    macros = {
        "REASON_AT": found.reason_at,
        "PROTOCOL_AT": found.protocol_at,
        "REASONS": len(found.reasons.names),
        **BY_REASON.macros,
    }
    return LoadRequest("drops_classic.c", {_PROGRAM: TRACEPOINT}, _MAPS, macros)


class ClassicDropCounters:
    """`bpf/drops_classic.c`, attached to the tracepoint skb:kfree_skb."""

    attach_mode: Final = CLASSIC_MODE

    def __init__(self, reason: str, started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None) -> None:
        """Compile, load and attach; `reason` says why no better attach mode is used. Raises the errors of `load`."""
        self.fallback_reason = (
            f"{reason}; counted by reason only, so drop_rate, stealth_scan and closed_port_scan see nothing"
        )
        found = read_drop_format(_format())
        self.reasons = found.reasons
        self._loaded: LoadedProgram = load(program_request(found), started=started)
        try:
            self._drops = PerCpuArray(*self._loaded.maps["drops"])
            self._attachment = attach_tracepoint(self._loaded.functions[_PROGRAM], *_EVENT)
        except BaseException:
            self._loaded.close()
            raise
        self.stats = DropStats()

    def close(self) -> None:
        """Detach and unload."""
        os.close(self._attachment)
        self._loaded.close()

    def totals(self) -> DropTotals:
        """Return packets since the start, and no bytes."""
        totals = DropTotals()
        for index, (packets,) in self._drops.read().items():
            slot, family, *_ = BY_REASON.split(index)
            if slot not in self.reasons.no_drops:
                kind = DropKind(self.reasons.names[slot], FAMILIES[family], UNKNOWN, None, None)
                totals.add(kind, packets, 0)
        return totals

    def run_statistics(self) -> tuple[int, int]:
        """Return the nanoseconds the program ran and how often, while the kernel kept count."""
        return run_statistics(self._loaded.functions[_PROGRAM])

    def unknown(self) -> dict[int, int]:
        """Return nothing: numbers of reasons without a name are not kept."""
        return {}

    def namespaces(self) -> dict[int, tuple[int, ...]]:
        """Return nothing: namespaces are not told apart."""
        return {}

    def has_news(self) -> bool:
        """Return False: there is nothing to poll."""
        return False

    def watched(self) -> list[tuple[int, bytes]] | None:
        """Return nothing to look at."""
        return []

    def poll(self, _now_s: float) -> Iterator[Dropped]:
        """Yield nothing: the sources of the packets are not known."""
        return iter(())


def _format() -> str:
    for tracefs in _TRACEFS:
        path = tracefs.joinpath("events", *_EVENT, "format")
        try:
            return path.read_text()
        except OSError:
            continue
    raise PermanentError(
        f"nor is there a tracepoint {':'.join(_EVENT)} in tracefs that may be read "
        f"(`mount -t tracefs tracefs {_TRACEFS[0]}`, and root)"
    )
