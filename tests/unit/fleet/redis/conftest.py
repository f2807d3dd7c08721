"""Engines in tests try again, look at the server and read the same peer again sooner than in production."""

import pytest


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.fleet.redis.engine.FIRST_WAIT_S", 0.05)
    monkeypatch.setattr("monitor.fleet.redis.writer.CHECK_S", 0.2)
    monkeypatch.setattr("monitor.fleet.redis.peers._SNAPSHOT_S", 0.1)
