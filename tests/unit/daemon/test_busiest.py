"""Whom `nodewarden top` shows: those whom detectors count most, with the counts that they have."""

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.bans.decision import Verdict
from monitor.control.protocol import MAX_TOP, Top
from monitor.daemon.catalogue import METRICS
from monitor.daemon.control import busiest
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.detectors.connection_rate import ConnectionRateSettings
from monitor.detectors.failures import FailuresSettings
from monitor.detectors.host_sweep import HostSweepSettings
from monitor.detectors.network_rules import NetworkRuleSettings
from monitor.detectors.open_connections import OpenConnectionsSettings
from monitor.detectors.port_scan import PortScanSettings
from monitor.enforcers.enforcement import Enforcement
from monitor.model.addresses import parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry
from monitor.model.events import AuthFailure
from monitor.model.flows import FlowBatch
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from tests.support.answers import answers_of
from tests.support.events import failure, tcp
from tests.support.flows import handshakes

_NOW_S = 1000.0
_SOURCES = ["192.0.2.7", "192.0.2.77", "10.9.1.1", "198.51.100.3", "2001:db8::7", "2001:db8:1::9"]
_APART = {"10.9.0.0/16": NetworkRuleSettings(maxretry=40)}


def _pipeline() -> Pipeline:
    detectors = Detectors(
        port_scan=PortScanSettings(maxretry=30, findtime_s=600.0, networks=_APART),
        host_sweep=HostSweepSettings(maxretry=30, findtime_s=600.0),
        connection_rate=ConnectionRateSettings(maxretry=90, findtime_s=600.0),
        open_connections=OpenConnectionsSettings(maxretry=90),
        failures={"sshd": FailuresSettings(filter="sshd", maxretry=30, findtime_s=600.0)},
    )
    monitor = AllowEntry(parse_network("192.0.2.77"), "a monitor")
    settings = Settings(detectors=detectors)
    return Pipeline(settings, (monitor,), lambda ledger, allowlist: Enforcement(MemoryLeader()))


def _feed(pipeline: Pipeline, seed: int) -> None:
    chance = random.Random(seed)
    for step in range(40):
        time_s = _NOW_S + step
        source = chance.choice(_SOURCES)
        more = chance.randrange(1, 4)
        if "." in source:
            packets = [tcp(source, chance.randrange(60), to="10.0.0.1", time_s=time_s) for _ in range(more)]
            pipeline.process(packets, time_s)
        proof = chance.choice([Strength.PROVEN, Strength.SPOOFABLE])
        failures: list[AuthFailure] = [
            msgspec.structs.replace(failure(source, time_s=time_s), strength=proof) for _ in range(more)
        ]
        pipeline.process(failures, time_s)
        pipeline.process([FlowBatch(time_s, completed=handshakes(more, source, id=step * 10))], time_s)


def _top(pipeline: Pipeline, directory: Path, limit: int = 200) -> dict[str, Any]:
    reply = asyncio.run(answers_of(pipeline, directory).handle(Top(limit)))
    result: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(reply.result))
    return result


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_those_of_why(seed: int, tmp_path: Path) -> None:
    """Each address has the count that its detector states for it, and nobody whom one counts is left out."""
    pipeline = _pipeline()
    _feed(pipeline, seed)
    sources = _top(pipeline, tmp_path)["sources"]
    shown = {(one["network"], one["detector"], one["maxretry"]): one["count"] for one in sources}
    for detector in pipeline.counting:
        for source in _SOURCES:
            count = detector.count(parse_address(source))
            found = shown.get((source, detector.name, detector.limits.maxretry))
            if "." in source:
                assert (found or 0) == count, (source, detector.name)
    assert {one["detector"] for one in sources} >= {"connection_rate", "open_connections", "sshd"}
    assert any(one["network"].endswith("/64") for one in sources)
    assert all(one["status"] == "allowlisted" for one in sources if one["network"] == "192.0.2.77")


def test_the_closest_come_first_and_no_more_than_asked_for(tmp_path: Path) -> None:
    """Whatever is asked for, the answer is bounded, and in order."""
    pipeline = _pipeline()
    _feed(pipeline, 1)
    everyone = _top(pipeline, tmp_path, 10**9)["sources"]
    assert len(everyone) <= MAX_TOP
    shares = [one["count"] / one["maxretry"] for one in everyone]
    assert shares == sorted(shares, reverse=True)
    assert [one["network"] for one in _top(pipeline, tmp_path, 3)["sources"]] == [
        one["network"] for one in everyone[:3]
    ]
    assert len(_top(pipeline, tmp_path, -5)["sources"]) == 1


def test_metrics_that_it_reads_exist() -> None:
    """A metric that is renamed would leave a part of the screen empty."""
    labels = {metric.name: metric.labels for metric in METRICS}
    assert labels[busiest._DROPPED][0] == "reason"
    assert labels[busiest._DROPPED_OF_PODS][:2] == ("namespace", "pod")
    assert labels[busiest._LAG] == ("source",)


def test_whoever_is_banned_is_marked(tmp_path: Path) -> None:
    """A banned source that is still counted by another detector has the set that it is in as its status."""
    pipeline = _pipeline()
    _feed(pipeline, 2)
    decisions = pipeline.process([failure("198.51.100.3", time_s=_NOW_S + 60) for _ in range(30)], _NOW_S + 60)
    assert [decision.verdict for decision in decisions] == [Verdict.BAN]
    marks = {one["status"] for one in _top(pipeline, tmp_path)["sources"] if one["network"] == "198.51.100.3"}
    assert marks == {"ban"}
