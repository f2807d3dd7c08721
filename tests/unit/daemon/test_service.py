"""The service: a fault of our own costs one batch, a long tick leaves time to read, logged packets are checked."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from monitor.daemon.life import rest
from monitor.daemon.life.service import Service
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure, Event
from monitor.model.flows import FlowBatch, FlowOpened
from monitor.settings.load import load
from tests.support.events import tcp
from tests.support.flows import CLIENT, NODE, flow
from tests.unit.config.support import write

_FAILURE = AuthFailure(1000.0, "sshd", b"\xc0\0\2\1", Strength.PROVEN, "journal")


def faulty() -> Iterator[Event]:
    """Find one event, then fail as only a bug would."""
    yield _FAILURE
    raise ZeroDivisionError


def test_a_fault_costs_one_batch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its trace, counted, and a problem; the batches before and after it go through."""
    path = write(tmp_path, f"state: {{directory: {tmp_path}}}\ndetectors: {{port_scan: {{mode: observe}}}}\n")

    async def run() -> None:
        service = Service(path, load(path))
        service._process([_FAILURE])
        service._process(faulty())
        service._process(iter([_FAILURE, _FAILURE]))
        service._process(iter(()))
        assert service.pipeline.events_by_kind["auth_failure"] == 3
        assert "1 batches were lost to internal faults; see the log" in service._health.problems()
        assert ("nodewarden_internal_errors_total", (), 1) in list(service._health.samples())
        await service.close()

    asyncio.run(run())
    assert "ZeroDivisionError" in caplog.text


def test_logged_packets_are_checked_on_a_quiet_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connection tracking is read first if that was long ago: a line of a mixed prefix waits."""
    path = write(tmp_path, f"state: {{directory: {tmp_path}}}\ndetectors: {{port_scan: {{mode: observe}}}}\n")
    now_s = time.time()

    async def run() -> None:
        service = Service(path, load(path))
        logged = service.pipeline.evidence.logged
        read: list[type[Event]] = []

        def poll(event: type[Event]) -> None:
            read.append(event)
            service._process([FlowBatch(time.time())])

        monkeypatch.setattr(service._sources, "poll", poll)
        service._process([FlowBatch(now_s)])
        service._process([tcp(CLIENT, 22, to=NODE, prefix="all: ", source_port=40_000, time_s=now_s)])
        service._process([FlowBatch(now_s, opened=[flow(FlowOpened, port=22)])])
        assert logged.mixed(now_s)
        assert not read
        monkeypatch.setattr(time, "time", lambda: now_s + 9.0)
        service._process([tcp(CLIENT, 23, to=NODE, prefix="all: ", source_port=40_001, time_s=now_s + 9.0)])
        assert read == [FlowBatch]
        assert logged.is_waiting
        assert logged.lost_total == 0
        await service.close()

    asyncio.run(run())


def test_a_long_tick_leaves_time_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one begins a second after its end, not after its beginning; its inputs are news then."""
    monkeypatch.setattr(rest, "TICK_S", 0.1)
    begun: list[float] = []
    ended: list[float] = []
    known: list[int] = []

    async def run() -> None:
        service = MagicMock()
        service._loop = asyncio.get_running_loop()
        service._rest, service._pace.is_resting = rest.Rest(service._loop, service._pace), False
        service._is_stopping = service._is_reload_due = False
        service._changes_total, service._news.return_value = 0, ({}, True)
        service._look, service._pause = partial(Service._look, service), partial(Service._pause, service)

        def tick(_: object) -> None:
            begun.append(time.monotonic())
            time.sleep(0.15)
            service._changes_total += 1
            known.append(service._changes_known)
            ended.append(time.monotonic())
            service._is_stopping = len(ended) == 3
            if service._is_stopping:
                service._loop.call_soon(service._rest.wake)

        service._supervisor.run = tick
        await Service.run(service)

    asyncio.run(run())
    assert all(later - earlier >= 0.09 for earlier, later in zip(ended, begun[1:], strict=False))
    assert known == [0, 1, 2]


def test_connections_of_allowed_sources_call_for_no_ticks(tmp_path: Path) -> None:
    """Of the node itself and of who monitors it; one of a stranger does, and so does whatever is more than that."""
    path = write(tmp_path, f"state: {{directory: {tmp_path}}}\nbans: {{allowlist: [{CLIENT}]}}\n")

    async def run() -> None:
        service = Service(path, load(path))
        pipeline = service.pipeline
        allowed, stranger = flow(FlowOpened, CLIENT), flow(FlowOpened, "203.0.113.77")
        quiet = FlowBatch(1000.0, attempts=1, completions=1, opened=[allowed], completed=[allowed])
        for batch, calls in (
            (quiet, False),
            (FlowBatch(1000.0, attempts=2, opened=[allowed]), True),
            (FlowBatch(1000.0, opened=[allowed, stranger]), True),
            (FlowBatch(1000.0, completed=[stranger]), True),
            (FlowBatch(1000.0, opened=[allowed], has_gap=True), True),
            (FlowBatch(1000.0, opened=[allowed] * 17), True),
        ):
            before = pipeline.inputs_total
            pipeline.process([batch], 1000.0)
            assert (pipeline.inputs_total > before) == calls, batch
        await service.close()

    asyncio.run(run())
