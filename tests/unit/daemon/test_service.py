"""The supervisor: a fault of our own costs one batch, also when it lies in finding the batch's events."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.daemon.life.service import Service
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure, Event
from monitor.settings.load import load
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
