"""The runner of the drop counters: it hands on what sources lost, and the kernel's drops as metrics."""

import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from monitor.ebpf.messages import ATTACH_MODES, OFF_MODE, KernelLacksError
from monitor.ebpf.reasons import UNKNOWN
from monitor.metrics.metric import Sample
from monitor.model.errors import PermanentError
from monitor.model.events import DropsObserved
from monitor.model.pods import Pods
from monitor.sources.drops.classic import ClassicDropCounters
from monitor.sources.drops.pod_drops import PodDrops
from monitor.sources.drops.reader import DropCounters
from monitor.sources.drops.settings import DropCounting
from monitor.sources.program_runner import ProgramRunner
from monitor.sources.runner import Process

_log = logging.getLogger(__name__)
_MAX_UNKNOWN_SHOWN = 5


AnyDropCounters: TypeAlias = DropCounters | ClassicDropCounters


class DropsRunner(ProgramRunner[AnyDropCounters, DropCounting]):
    """Owns the program that counts dropped packets."""

    name = "drops"
    title = "dropped packets are not counted, so scans that no log rule and no connection shows are not seen"
    program_name = "drops"

    def __init__(self, settings: DropCounting, process: Process, pods: Pods) -> None:
        """Load nothing yet; `pods` names network namespaces."""
        super().__init__(settings, process)
        self._pods = pods
        self._pod_drops = PodDrops(pods.pod_of_netns)

    @property
    def is_wanted(self) -> bool:
        """Whether it is enabled."""
        return self.settings.section.enabled

    @property
    def attach_mode(self) -> str:
        """The attach mode in use."""
        return self.program.attach_mode if self.program else OFF_MODE

    @property
    def notices(self) -> list[str]:
        """What operators should know although other sources work, a sentence each."""
        if self.program and self.program.fallback_reason:
            reason = self.program.fallback_reason
            return [f"counting dropped packets costs more than it could ({self.attach_mode}): {reason}"]
        if self.program and self.settings.section.pods and not self._pods.living:
            return ["sources.drops.pods: no pod is known on this node, so drops in other namespaces count as `other`"]
        return super().notices

    def make(self, settings: DropCounting, started: Callable[[subprocess.Popen[bytes]], None]) -> AnyDropCounters:
        """Load and attach the best program that this kernel takes."""
        try:
            return DropCounters(settings, started=started)
        except KernelLacksError as best:
            try:
                return ClassicDropCounters(str(best), started)
            except PermanentError as error:
                raise PermanentError(f"{best}; {error}") from None

    def taken(self, program: AnyDropCounters) -> None:
        """Report what is counted, and how."""
        _log.info("counting dropped packets by %d reasons (%s)", len(program.reasons.names) - 1, program.attach_mode)

    def poll(self, program: AnyDropCounters) -> Iterator[DropsObserved]:
        """Yield what sources lost since the last poll."""
        now_s = time.time()
        if most := self.settings.section.pods:
            self._pod_drops.count(program.namespaces(), most, time.monotonic())
        for one in program.poll(time.monotonic()):
            self.events += 1
            yield DropsObserved(
                now_s, one.source, one.packets, one.outer, one.tunnelled, one.stealth_ports, one.closed_ports
            )

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        if self.program is None:
            return {**super().describe(), "records": 0, "lost": 0, "other": {}}
        stats = self.program.stats
        unknown = sorted(self.program.unknown().items(), key=lambda pair: -pair[1])[:_MAX_UNKNOWN_SHOWN]
        return {
            **super().describe(),
            "records": self.program.totals().packets,
            "lost": stats.lost_offenders + stats.lost_probes,
            "other": {"sources_counted": stats.offenders, "namespace_unknown": stats.no_device}
            | {f"unknown_reason_{number}": count for number, count in unknown},
        }

    def samples(self) -> Iterator[Sample]:
        """Yield this source's metrics."""
        yield from super().samples()
        for mode in ATTACH_MODES:
            yield "nodewarden_ebpf_rung", (self.program_name, mode), float(mode == self.attach_mode)
        if self.program is None:
            return
        totals = self.program.totals()
        for released, count in totals.released.items():
            yield "nodewarden_kernel_released_buffers_total", (released.reason, released.fate.value), count
        if self.settings.section.pods:
            yield from self._pod_drops.samples()
        for kind, (packets, count_bytes) in totals.drops.items():
            words = (kind.reason, kind.family, kind.direction, _yes(kind.is_tunnelled), _yes(kind.is_foreign))
            yield "nodewarden_kernel_dropped_packets_total", words, packets
            yield "nodewarden_kernel_dropped_bytes_total", words, count_bytes
        stats = self.program.stats
        yield "nodewarden_ebpf_map_entries", ("drop_offenders",), stats.offenders
        yield "nodewarden_ebpf_map_entries_limit", ("drop_offenders",), DropCounters.MAX_OFFENDERS
        yield "nodewarden_ebpf_map_entries", ("drop_probers",), stats.probers
        yield "nodewarden_ebpf_map_entries_limit", ("drop_probers",), DropCounters.MAX_PROBERS
        yield "nodewarden_ebpf_sketch_load_ratio", (self.program_name,), stats.sketch_load
        yield "nodewarden_ebpf_lost_sources_total", (self.program_name,), stats.lost_offenders + stats.lost_probes


def _yes(value: bool | None) -> str:  # noqa: FBT001 - it is all there is
    return UNKNOWN if value is None else "yes" if value else "no"
