"""Loads and attaches the XDP program, and hands on what sources sent; its bans are an enforcer's (enforcers.xdp)."""

import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from monitor.ebpf.xdp import MAX_SENDERS, PROGRAM, ProgramUser, XdpProgram
from monitor.metrics.metric import Sample
from monitor.model.bans import MAX_PREFIXES
from monitor.model.errors import NodewardenError, PermanentError, TemporaryError
from monitor.model.events import SenderObserved
from monitor.sources.program_runner import ProgramRunner
from monitor.sources.runner import Process
from monitor.sources.xdp.settings import XdpSettings

_log = logging.getLogger(__name__)
_TRY_AGAIN_S, _TRY_SELDOM_S = 2.0, 10.0
"""The second one for what seldom passes: an interface that carries no Ethernet frames may be replaced by another."""
_REFILL_S = 10.0
"""Trying again what did not fit takes time that grows with the number of bans."""


class XdpRunner(ProgramRunner[XdpProgram, XdpSettings]):
    """Owns the program."""

    name = "xdp"
    title = "nothing is dropped in front of the stack"
    program_name = PROGRAM

    def __init__(self, settings: XdpSettings, user: ProgramUser, process: Process) -> None:
        """Load nothing yet; `user` holds bans in the program while it is loaded."""
        super().__init__(settings, process)
        self._user = user
        user.reload = lambda: self.restart(self.settings)
        self._faults: dict[str, tuple[str, float]] = {}
        """Interfaces without the program: why, and when to try again, on the monotonic clock."""
        self._refusal = ""
        """Why the loaded program may not be used."""
        self._fill_at_s = 0.0

    @property
    def is_wanted(self) -> bool:
        """Whether the settings ask for it."""
        return bool(self.settings.interfaces)

    @property
    def state(self) -> str:
        """In addition to those of all programs `degraded`: loaded, and not on every interface or without all bans."""
        is_degraded = self.program and (self._refusal or self._faults or self._user.missing)
        return "degraded" if is_degraded else super().state

    @property
    def is_working(self) -> bool:
        """Whether it is on an interface."""
        return self.program is not None and bool(self.program.modes)

    def problems(self) -> list[str]:
        """Say where it does not drop although the settings ask for that, and what its maps cannot hold."""
        if self.program is None:
            return [f"{self.title}: {self.trouble}; nftables enforces all bans"] if self.trouble else []
        found = [f"{self.title}: {self._refusal}; nftables enforces all bans"] if self._refusal else []
        if self._user.missing:
            found.append(f"{self._user.missing} bans did not fit into XDP; nftables enforces them")
        found += [
            f"XDP does not drop on {name}: {why}; nftables enforces all bans" for name, (why, _) in self._faults.items()
        ]
        return found

    @property
    def notices(self) -> list[str]:
        """Nothing: what is configured and does not work is a problem."""
        return []

    def make(self, settings: XdpSettings, started: Callable[[subprocess.Popen[bytes]], None]) -> XdpProgram:
        """Load it."""
        return XdpProgram(max_bans=settings.max_bans, max_prefixes=MAX_PREFIXES, started=started)

    def taken(self, program: XdpProgram) -> None:
        """Have it used, and attach it."""
        self._faults.clear()
        self._fill_at_s = time.monotonic() + _REFILL_S
        self._fill(program)
        if not self._refusal:
            self._attach(program)

    def unload(self) -> None:
        """Take it off every interface."""
        self._user.release()
        self._faults.clear()
        self._refusal = ""
        super().unload()

    def poll(self, program: XdpProgram) -> Iterator[SenderObserved]:
        """Yield what sources sent since the last poll; attach to interfaces that came up."""
        if time.monotonic() >= self._fill_at_s:
            self._fill_at_s = time.monotonic() + _REFILL_S
            if self._refusal:
                self._fill(program)
            elif self._user.missing:
                self._user.refill()
        if self._refusal:
            return
        self._attach(program)
        now_s = time.time()
        for one in program.poll(time.monotonic()):
            self.events += 1
            yield SenderObserved(now_s, one.source, one.syn_packets, one.udp_packets)

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        status = super().describe()
        if self.program is None:
            return {**status, "records": 0, "lost": 0, "other": {}}
        other: dict[str, Any] = dict(self.program.modes)
        other |= {"sources_counted": self.program.senders, "bans_missing": self._user.missing_total}
        stopped = sum(packets for packets, _ in self.program.totals().values())
        return {**status, "records": stopped, "lost": self.program.lost_senders(), "other": other}

    def samples(self) -> Iterator[Sample]:
        """Yield this source's metrics."""
        if not self.is_wanted:
            return
        yield from super().samples()
        modes = self.program.modes if self.program else {}
        for interface in self.settings.interfaces:
            for mode in ("native", "generic"):
                yield "nodewarden_xdp_attached", (interface, mode), float(modes.get(interface) == mode)
        yield "nodewarden_xdp_missing_bans_total", (), self._user.missing_total
        if self.program is None:
            return
        for name, (packets, count_bytes) in self.program.totals().items():
            yield "nodewarden_xdp_dropped_packets_total", (name,), packets
            yield "nodewarden_xdp_dropped_bytes_total", (name,), count_bytes
        yield "nodewarden_ebpf_map_entries", ("xdp_senders",), self.program.senders
        yield "nodewarden_ebpf_map_entries_limit", ("xdp_senders",), MAX_SENDERS
        yield "nodewarden_ebpf_sketch_load_ratio", (self.program_name,), self.program.sketch_load
        yield "nodewarden_ebpf_lost_sources_total", (self.program_name,), self.program.lost_senders()

    def _fill(self, program: XdpProgram) -> None:
        """Fill the program. One that cannot hold the allowlist must not drop, and is tried again later."""
        try:
            self._user.take(program)
        except TemporaryError as error:
            if not self._refusal:
                _log.error("%s: the allowlist does not fit: %s", self.title, error)
            self._refusal = f"the allowlist does not fit ({error})"
        else:
            self._refusal = ""

    def _attach(self, program: XdpProgram) -> None:
        """See to every interface; one that fails is told of once, and tried again if it may pass."""
        now_s = time.monotonic()
        for interface in self.settings.interfaces:
            why, again_s = self._faults.get(interface, ("", 0.0))
            if now_s < again_s:
                continue
            try:
                program.attach(interface)
            except (NodewardenError, OSError) as error:
                if str(error) != why:
                    _log.warning("XDP does not drop on %s: %s", interface, error)
                pause_s = _TRY_SELDOM_S if isinstance(error, PermanentError) else _TRY_AGAIN_S
                self._faults[interface] = str(error), now_s + pause_s
            else:
                if self._faults.pop(interface, None):
                    _log.info("XDP drops on %s", interface)
