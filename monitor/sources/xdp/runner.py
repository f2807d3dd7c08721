"""Keeps the wall in front of the stack equal to the ledger, as the sets of nftables are, and brings what it counts."""

import asyncio
import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from monitor.bans.guard import Guard
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.ebpf.xdp import MAX_SENDERS, PROGRAM, Wall
from monitor.enforcers.nftables.ruleset import MAX_PREFIXES
from monitor.metrics.metric import Sample
from monitor.model.addresses import Network, collapse
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode, Offence
from monitor.model.errors import NodewardenError, PermanentError, TemporaryError
from monitor.model.events import SenderObserved
from monitor.sources.program_runner import ProgramRunner
from monitor.sources.runner import Process
from monitor.sources.xdp.settings import XdpSettings

_log = logging.getLogger(__name__)
_TRY_AGAIN_S = 60.0
_AT_ONCE = 5000
"""Bans that are copied before others have their turn."""


class XdpRunner(ProgramRunner[Wall, XdpSettings]):
    """Owns the wall. It follows the ledger and never decides; what it lacks, the sets behind it have."""

    name = "xdp"
    title = "nothing is dropped in front of the stack"
    program_name = PROGRAM

    def __init__(self, settings: XdpSettings, pipeline: Pipeline, process: Process) -> None:
        """Load nothing yet."""
        super().__init__(settings, process)
        self._pipeline = pipeline
        self._guard: Guard | None = None
        self._faults: dict[str, tuple[str, float]] = {}
        """Interfaces without the program: why, and when to try again, on the monotonic clock."""
        self._copying: asyncio.Task[None] | None = None
        self._missing_total = 0

    @property
    def is_wanted(self) -> bool:
        """Whether the settings ask for it."""
        return bool(self.settings.interfaces)

    @property
    def notices(self) -> list[str]:
        """What people should know although all goes on, a sentence each."""
        return [*super().notices, *(f"{self.title}: {why}" for why, _ in self._faults.values())]

    def make(self, settings: XdpSettings, started: Callable[[subprocess.Popen[bytes]], None]) -> Wall:
        """Load it."""
        return Wall(max_bans=settings.max_bans, max_prefixes=MAX_PREFIXES, started=started)

    def taken(self, program: Wall) -> None:
        """Follow the ledger from here on, and copy what is in it already."""
        self._pipeline.ledger.mirror = self
        self._pipeline.table.front = program.stopped
        self._faults.clear()
        self._follow_guard(program)
        self._attach(program)
        self._copying = asyncio.get_running_loop().create_task(self._copy(program))

    def unload(self) -> None:
        """Take it off every interface."""
        self._pipeline.ledger.mirror = None
        self._pipeline.table.front = None
        self._guard = None
        self._faults.clear()
        if self._copying:
            self._copying.cancel()
            self._copying = None
        super().unload()

    def put_ban(self, ban: Ban) -> None:
        """Hold a ban that is new or lasts longer: the ledger's way to say so."""
        if self.program and _is_held(ban):
            self._put(self.program, [ban])

    def remove_ban(self, network: Network, strength: Strength) -> None:
        """Let go of a ban: the ledger's way to say so. If that fails, the whole wall goes rather than drop wrongly."""
        if self.program and strength is Strength.PROVEN:
            try:
                self.program.remove(network)
            except TemporaryError as error:
                _log.error("the ban of %s stays in XDP (%s): loading it anew", network, error)
                self.restart(self.settings)

    def add_offence(self, offence: Offence) -> None:
        """Leave history to others."""

    def poll(self, program: Wall) -> Iterator[SenderObserved]:
        """Yield what sources sent since the last poll; attach interfaces, follow the allowlist."""
        self._follow_guard(program)
        self._attach(program)
        now_s = time.time()
        for one in program.look(time.monotonic()):
            self.events += 1
            yield SenderObserved(now_s, one.source, one.syn_packets, one.udp_packets)

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        status = super().describe()
        if self.program is None:
            return {**status, "records": 0, "lost": 0, "other": {}}
        other: dict[str, Any] = dict(self.program.modes)
        other |= {"sources_counted": self.program.senders, "bans_missing": self._missing_total}
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
        yield "nodewarden_xdp_missing_bans_total", (), self._missing_total
        if self.program is None:
            return
        for name, (packets, count_bytes) in self.program.totals().items():
            yield "nodewarden_xdp_dropped_packets_total", (name,), packets
            yield "nodewarden_xdp_dropped_bytes_total", (name,), count_bytes
        yield "nodewarden_ebpf_map_entries", ("xdp_senders",), self.program.senders
        yield "nodewarden_ebpf_map_entries_limit", ("xdp_senders",), MAX_SENDERS
        yield "nodewarden_ebpf_sketch_load_ratio", (self.program_name,), self.program.sketch_load
        yield "nodewarden_ebpf_lost_sources_total", (self.program_name,), self.program.lost_senders()

    def _put(self, program: Wall, bans: list[Ban]) -> None:
        try:
            program.put([(ban.network, ban.until_s) for ban in bans], time.time())
        except TemporaryError as error:
            if not self._missing_total:
                _log.warning("not all bans fit into XDP (%s); nftables has them", error)
            self._missing_total += len(bans)

    async def _copy(self, program: Wall) -> None:
        """Copy the ledger, a part at a time; what changes meanwhile comes by itself."""
        ledger = self._pipeline.ledger
        rest = iter([ban for ban in ledger.bans() if _is_held(ban)])
        count = 0
        while part := list(islice(rest, _AT_ONCE)):
            still = [ban for ban in part if ledger.get(ban.network, ban.strength) is ban]
            self._put(program, still)
            count += len(still)
            await asyncio.sleep(0)
        shown = ", ".join(f"{interface} ({mode})" for interface, mode in program.modes.items())
        _log.info("dropping in front of the stack on %s: %d bans", shown or "no interface", count)

    def _follow_guard(self, program: Wall) -> None:
        """Have what is on the allowlist pass, as the sets of nftables do."""
        if (guard := self._pipeline.guard) is not self._guard:
            program.allow(collapse(list(guard.networks())))
            self._guard = guard

    def _attach(self, program: Wall) -> None:
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
                    _log.warning("%s: %s", self.title, error)
                may_pass = not isinstance(error, PermanentError)
                self._faults[interface] = str(error), now_s + (_TRY_AGAIN_S if may_pass else float("inf"))
            else:
                self._faults.pop(interface, None)


def _is_held(ban: Ban) -> bool:
    """Whether a ban is one of the `ban` sets: the others let some packets through, by connection tracking."""
    return ban.mode is Mode.ENFORCE and ban.strength is Strength.PROVEN
