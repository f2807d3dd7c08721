"""A store that can be read only later: a replay ends what the daemon ended then."""

from typing import Any

import msgspec

from monitor.bans.decision import Ending
from monitor.daemon.life.restore import catch_up, restore
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.engine import replay
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.daemon.replay.outcome import Kind, OutcomeListener
from monitor.enforcers.enforcement import Enforcement
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban
from monitor.recording.inputs import Input, OrderedBan
from monitor.settings.schema import Settings
from monitor.state.changes import Allowed
from tests.support.day_settings import log_filters
from tests.support.days import START_S, Store

_SPARED, _FRIEND, _FOREIGN = map(parse_network, ("198.51.100.7", "203.0.113.5", "198.51.100.9"))


class _Inputs(list[Input]):
    def take(self, one: Input) -> None:
        """Record an input."""
        self.append(one)


def _settings() -> Settings:
    """Return settings in which a detector has an allowlist of its own."""
    settings = Settings()
    port_scan = msgspec.structs.replace(settings.detectors.port_scan, allowlist=(_SPARED,))
    return msgspec.structs.replace(
        settings,
        detectors=msgspec.structs.replace(settings.detectors, port_scan=port_scan),
    )


def test_bans_that_end_because_the_store_is_read_end_in_the_replay() -> None:
    """A detector's own allowlist spares one, a network that was allowed by command another."""
    store: Any = Store()
    for network in (_SPARED, _FOREIGN):
        store.book.put_ban(Ban(network, Strength.SPOOFABLE, START_S - 60, START_S + 3600, "port_scan", "9 ports"))
    store.allowed_by_network[_FRIEND] = Allowed(_FRIEND, "a friend", START_S - 60)
    settings, recorded = _settings(), _Inputs()
    now_s = START_S
    listener = OutcomeListener(lambda: pipeline.now_s)
    pipeline = Pipeline(
        settings,
        [AllowEntry(parse_network("192.0.2.1"), "node")],
        lambda *_: Enforcement(MemoryLeader()),
        (listener,),
        log_filters=log_filters(settings),
    )
    pipeline.record(recorded, "node", "1.0", now_s)
    restore(pipeline, None, store.book, lambda: now_s)
    pipeline.order([OrderedBan(_FRIEND, Strength.PROVEN, 3600.0, "by hand")], now_s + 10.0)
    now_s += 20.0
    catch_up(pipeline, store, store.book, lambda: now_s, ahead_s=0.0, kept={})
    pipeline.tick(now_s + 1.0)
    ended = [one for one in listener.outcomes if one.kind is Kind.ENDED]
    assert {(one.network, one.verdict, one.time_s) for one in ended} == {
        (_FRIEND, Ending.ALLOWLISTED, now_s),
        (_SPARED, Ending.ALLOWLISTED, now_s),
    }
    assert replay(recorded).outcomes == listener.outcomes
