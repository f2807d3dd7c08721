"""Brings what the kernel drops to the pipeline and to the metrics."""

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from monitor.config.schema import Settings
from monitor.daemon.intake import Process
from monitor.ebpf.drops import DropCounters, DropStats
from monitor.ebpf.maps import count_runs
from monitor.ebpf.messages import OFF_RUNG, RUNGS
from monitor.metrics.exporter import Sample
from monitor.model.errors import NodewardenError, PermanentError, TemporaryError
from monitor.model.events import DropsObserved

_log = logging.getLogger(__name__)
_TRY_AGAIN_S = 60.0
_SAMPLE_EVERY_S = 60.0
_PROGRAM = "drops"
_MAX_UNKNOWN_SHOWN = 5


class DropsIntake:
    """Owns the eBPF program: loads it beside the loop, looks at its counters each second, unloads it."""

    name = "drops"
    title = "dropped packets"

    def __init__(self, settings: Settings, process: Process) -> None:
        """Nothing is loaded yet."""
        self._settings = settings.sources.drops
        self._process = process
        self._counters: DropCounters | None = None
        self._loading: asyncio.Task[None] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_open = False
        self._trouble = ""
        self._try_at_s = 0.0
        self._sampling: int | None = None
        self._sample_at_s = 0.0
        self._events = 0
        self._stats = DropStats()

    @property
    def state(self) -> str:
        """How it is: `up`, `off` (nobody wants it, or this machine cannot), `loading`."""
        return "up" if self._counters else "loading" if self._loading else "off"

    @property
    def rung(self) -> str:
        """How the program runs."""
        return self._counters.rung if self._counters else OFF_RUNG

    @property
    def notices(self) -> list[str]:
        """What people should know although all goes on, a sentence each."""
        if self._trouble:
            return [f"dropped packets are not counted: {self._trouble}"]
        if self._counters and self._counters.fallen:
            return [f"counting dropped packets costs more than it could ({self.rung}): {self._counters.fallen}"]
        return []

    def open(self) -> None:
        """Do nothing: loading takes a second, for which nothing need wait."""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to load."""
        self._loop = loop
        self._is_open = True
        self._begin()

    def close(self) -> None:
        """Unload, or stop loading."""
        self._is_open = False
        if self._child:
            self._child.kill()  # which ends the thread that loads
        self._stop_sampling()
        if self._counters:
            self._counters.close()
            self._counters = None

    def reconfigure(self, settings: Settings) -> None:
        """Follow changed settings."""
        if settings.sources.drops != self._settings:
            self.close()
            self._settings = settings.sources.drops
            self._trouble = ""
            self._is_open = True
            self._begin()

    def tick(self) -> None:
        """Hand on what dropped since the last look; to be called each second."""
        if self._counters:
            self._process(self._look(self._counters))
            self._sample_runs()
        elif self._trouble and time.monotonic() >= self._try_at_s:
            self._begin()

    def problems(self) -> list[str]:
        """Say what is wrong: nothing ever is so that others would suffer."""
        return []

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        stats = self._stats
        packets = sum(count for count, _ in self._counters.totals().values()) if self._counters else 0
        other = {"sources_counted": stats.offenders, "namespace_unknown": stats.no_device}
        if self._counters:
            unknown = sorted(self._counters.unknown().items(), key=lambda pair: -pair[1])[:_MAX_UNKNOWN_SHOWN]
            other |= {f"unknown_reason_{number}": count for number, count in unknown}
        return {
            "name": self.name,
            "state": self.state,
            "trouble": self._trouble,
            "records": packets,
            "lost": stats.lost_offenders,
            "malformed": 0,
            "events": self._events,
            "lag_s": None,
            "other": other,
        }

    def samples(self) -> Iterator[Sample]:
        """Yield this source's metrics."""
        yield "nodewarden_source_up", (self.name,), float(self._counters is not None)
        yield "nodewarden_ebpf_up", (_PROGRAM,), float(self._counters is not None)
        for rung in RUNGS:
            yield "nodewarden_ebpf_rung", (_PROGRAM, rung), float(rung == self.rung)
        if self._counters is None:
            return
        for kind, (packets, count_bytes) in self._counters.totals().items():
            words = (kind.reason, kind.family, kind.direction, _yes(kind.is_tunnelled), _yes(kind.is_foreign))
            yield "nodewarden_kernel_dropped_packets_total", words, packets
            yield "nodewarden_kernel_dropped_bytes_total", words, count_bytes
        stats = self._stats
        yield "nodewarden_ebpf_run_seconds_total", (_PROGRAM,), stats.run_ns / 1e9
        yield "nodewarden_ebpf_runs_total", (_PROGRAM,), stats.runs
        yield "nodewarden_ebpf_map_entries", ("drop_offenders",), stats.offenders
        yield "nodewarden_ebpf_map_entries_limit", ("drop_offenders",), DropCounters.MAX_OFFENDERS
        yield "nodewarden_ebpf_lost_offenders_total", (), stats.lost_offenders

    def _begin(self) -> None:
        if self._loop and self._settings.enabled and self._loading is None and self._counters is None:
            self._loading = self._loop.create_task(self._load(self._settings.all_namespaces))

    async def _load(self, all_namespaces: bool) -> None:  # noqa: FBT001 - as the setting has it
        """Load in a thread; what fails is told once, and tried again if it may pass."""
        try:
            counters = await asyncio.to_thread(DropCounters, all_namespaces=all_namespaces, started=self._note_child)
        except (NodewardenError, OSError) as error:
            text = str(error)
            if text != self._trouble:
                _log.warning("dropped packets are not counted: %s", text)
            self._trouble = text
            self._try_at_s = time.monotonic() + (
                _TRY_AGAIN_S if not isinstance(error, PermanentError) else float("inf")
            )
        else:
            self._take(counters, all_namespaces)
        finally:
            self._child = None
            self._loading = None
        if self._is_open and not self._trouble:
            self._begin()  # the settings changed meanwhile

    def _take(self, counters: DropCounters, all_namespaces: bool) -> None:  # noqa: FBT001 - as above
        """Keep what was loaded, if it is still what is wanted."""
        if not self._is_open or (True, all_namespaces) != (self._settings.enabled, self._settings.all_namespaces):
            counters.close()
            return
        self._counters, self._stats, self._trouble = counters, counters.stats, ""
        _log.info("counting dropped packets by %d reasons (%s)", len(counters.reasons.names) - 1, counters.rung)

    def _note_child(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def _look(self, counters: DropCounters) -> Iterator[DropsObserved]:
        now_s = time.time()
        for one in counters.look(time.monotonic()):
            self._events += 1
            yield DropsObserved(now_s, one.source, one.packets, one.outer)

    def _sample_runs(self) -> None:
        """Have the kernel keep count for one second of each minute: that costs each run of a program some time."""
        now_s = time.monotonic()
        if self._sampling is not None:
            self._stop_sampling()
        elif now_s >= self._sample_at_s:
            self._sample_at_s = now_s + _SAMPLE_EVERY_S
            try:
                self._sampling = count_runs()
            except TemporaryError:
                self._sample_at_s = float("inf")

    def _stop_sampling(self) -> None:
        if self._sampling is not None:
            os.close(self._sampling)
            self._sampling = None


def _yes(value: bool) -> str:  # noqa: FBT001 - it is all there is
    return "yes" if value else "no"
