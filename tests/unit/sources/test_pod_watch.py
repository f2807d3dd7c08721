"""Pods are known as soon as the container runtime has started them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.model.addresses import parse_address
from monitor.model.pods import Pods, PodTable
from monitor.node.pod_watch import PodWatch
from monitor.node.pods import RESULT_DIRECTORIES, PodReader
from tests.unit.sources.test_pods import WEB, result, write

ADDRESS = parse_address("10.244.3.7")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; TimeoutError after a while."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_pod_that_starts_is_known(tmp_path: Path) -> None:
    """Also where there was no directory for results before: the first pod makes it."""

    async def follow() -> None:
        pods = Pods()
        watch = PodWatch(pods, tmp_path)
        watch.attach(asyncio.get_running_loop())
        assert pods.pod_of(ADDRESS) is None
        write(tmp_path, "one", result())
        await until(lambda: pods.pod_of(ADDRESS) == str(WEB))
        watch.close()

    asyncio.run(follow())


def test_pods_are_known_from_the_start(tmp_path: Path) -> None:
    """Before anything is attached: the first alert can be about one."""
    write(tmp_path, "one", result())
    pods = Pods()
    PodWatch(pods, tmp_path).close()
    assert pods.pod_of(ADDRESS) == str(WEB)


def test_a_reading_that_fails_is_reported_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are missing meanwhile, and status says so; the next reading is as good as any."""
    fails = [False]
    read = PodReader.read

    def try_to_read(reader: PodReader) -> PodTable:
        if fails[0]:
            raise MemoryError
        return read(reader)

    monkeypatch.setattr(PodReader, "read", try_to_read)

    async def follow() -> None:
        pods = Pods()
        watch = PodWatch(pods, tmp_path)
        watch.attach(asyncio.get_running_loop())
        fails[0] = True
        write(tmp_path, "one", result())
        await until(lambda: any("cannot be read" in notice for notice in watch.notices))
        fails[0] = False
        write(tmp_path, "two", result(addresses=("10.244.3.8/24",)), RESULT_DIRECTORIES[1])
        await until(lambda: pods.pod_of(ADDRESS) == str(WEB))
        assert not any("cannot be read" in notice for notice in watch.notices)
        watch.close()

    asyncio.run(follow())
