"""Random days of a daemon: the real pipeline, told what a node can tell it, and recorded.

A day depends only on its seed. Addresses, ports and windows are few, so that thresholds are crossed, windows run full
and the budget is spent.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from monitor.daemon.life.known_services import KnownServices
from monitor.daemon.life.restore import catch_up, restore
from monitor.daemon.life.saved_windows import SavedWindows
from monitor.daemon.pipeline.decision_record import DecisionRecord
from monitor.daemon.pipeline.outside import Outside
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.daemon.replay.outcome import Outcome, OutcomeListener
from monitor.daemon.sources.log_filters import LogFilters
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.protocol import Enforcer, Failure, FailureCause
from monitor.model import salt
from monitor.model.addresses import Network, host, network_of, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban, ClaimOrigin, Mode, Offence
from monitor.model.cursors import Cursor
from monitor.model.errors import TemporaryError
from monitor.model.networks import NodeNetworks
from monitor.model.sysctls import Sysctls
from monitor.node.addresses import OWN_ADDRESS
from monitor.recording.inputs import Input, OrderedBan
from monitor.recording.wire import decode, encode
from monitor.settings.schema import Settings
from monitor.state.changes import Allowed, SavedContent
from tests.support.ban_core import Notebook
from tests.support.day_events import NODE, STRANGERS, batch
from tests.support.day_settings import BANTIMES_S, log_filters, some_settings

START_S = 1_700_000_000.0


class Store:
    """What a run saves and the next one reads."""

    is_new = False

    def __init__(self) -> None:
        self.book = Notebook()
        self.windows: dict[str, SavedContent] = {}
        self.cursors: dict[str, Cursor] = {}
        self.allowed_by_network: dict[Network, Allowed] = {}

    def bans(self) -> list[Ban]:
        """Return the claims."""
        return list(self.book.claims.values())

    def ban_batches(self) -> list[list[Ban]]:
        """Return the claims as one batch."""
        return [self.bans()]

    def count_addresses(self, after_s: float) -> dict[tuple[Strength, int], int]:
        """Return that there are few."""
        return {}

    def offences(self, since_s: float, limit: int) -> list[Offence]:
        """Return the offences, oldest first."""
        return [one for one in self.book.offences if one.time_s >= since_s][-limit:]

    def allowed(self) -> list[Allowed]:
        """Return what was allowed by command."""
        return list(self.allowed_by_network.values())

    def load_windows(self) -> dict[str, SavedContent]:
        """Return the windows."""
        return dict(self.windows)

    def save_window(self, name: str, saved: SavedContent) -> None:
        """Keep a window."""
        self.windows[name] = saved

    def load_cursors(self) -> dict[str, Cursor]:
        """Return the cursors."""
        return self.cursors

    def save_cursor(self, name: str, cursor: Cursor) -> None:
        """Keep a cursor."""
        self.cursors[name] = cursor


class _Moody(MemoryLeader):
    """A kernel that refuses now and then, and sometimes fails altogether."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.mood = 0.0
        """How probable a refusal is."""

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Refuse some."""
        self._fail()
        if self.mood and self._chance.random() < self.mood / 4:
            self.on_lost(self._refused(bans[:1]))
        return self._refused(bans)

    def refresh(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Refuse some."""
        self._fail()
        return self._refused(bans)

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        """Fail sometimes."""
        self._fail()

    def allow(self, networks: Sequence[Network], now_s: float) -> None:
        """Fail sometimes."""
        self._fail()

    def _fail(self) -> None:
        if self.mood and self._chance.random() < self.mood / 5:
            raise self._chance.choice([TemporaryError("no answer"), OSError(12, "no memory")])

    def _refused(self, bans: Iterable[Ban]) -> list[Failure]:
        return [
            Failure(ban.network, ban.strength, FailureCause.SET_FULL, "the set is full")
            for ban in bans
            if self.mood and self._chance.random() < self.mood
        ]


class Day:
    """One day, from `run` to its recording and its outcomes."""

    steps: Mapping[str, int] = MappingProxyType(
        {
            "events": 70,
            "tick": 30,
            "order": 6,
            "mood": 4,
            "save": 4,
            "reload": 2,
            "node_change": 2,
            "listen": 2,
            "restart": 1,
            "clock": 1,
            "lost": 1,
            "correct": 1,
        }
    )
    """What happens, by weight."""

    def __init__(self, seed: int) -> None:
        """Begin with a new daemon."""
        self._chance = random.Random(seed)
        self._seed = seed
        self.now_s = START_S
        self.recorded: list[bytes] = []
        self.outcomes: list[Outcome] = []
        self.done: dict[str, int] = {}
        """Steps by kind."""
        self._store = Store()
        self._listening = frozenset({(parse_address(NODE), 6, 80)})
        self._around = _NETWORKS
        self._settings = self._some_settings()
        self._node = [AllowEntry(host(parse_address(NODE)), OWN_ADDRESS)]
        self._sysctls = Sysctls(local_ports=(32_768, 60_999))
        self._start()

    @property
    def inputs(self) -> list[Any]:
        """The recording, read back from bytes."""
        return [decode(one) for one in self.recorded]

    def take(self, one: Input) -> None:
        """Record an input, as bytes."""
        self.recorded.append(encode(one))

    def run(self, steps: int) -> "Day":
        """Let this many things happen."""
        names, weights = zip(*self.steps.items(), strict=True)
        for name in self._chance.choices(names, weights, k=steps):
            self.done[name] = self.done.get(name, 0) + 1
            try:
                getattr(self, f"_{name}")()
            except (TemporaryError, OSError):
                continue  # the daemon's supervisor, or whoever ordered, is told
        return self

    def _some_settings(self) -> Settings:
        return some_settings(self._chance)

    def _filters(self) -> LogFilters:
        return log_filters(self._settings)

    def _followers(self) -> Sequence[Enforcer]:
        return ()

    def _batch(self, names: Sequence[str]) -> list[Any]:
        return batch(self._chance, self.now_s, names)

    def _start(self) -> None:
        salt.use(self._chance.getrandbits(60))
        self._leader = _Moody(self._chance)
        listener = OutcomeListener(lambda: self.pipeline.now_s)
        listener.outcomes = self.outcomes
        self.pipeline = Pipeline(
            self._settings,
            self._node,
            lambda ledger, allowlist: Enforcement(self._leader, *self._followers()),
            (listener, DecisionRecord(self._store.book)),
            log_filters=self._filters(),
            networks=self._around,
            sysctls=self._sysctls,
            outside=Outside(self._chance.random),
        )
        self.pipeline.record(self, f"node{self._seed}", "1.0", self.now_s)
        store: Any = self._store
        self._services = KnownServices(self.pipeline.evidence.services, store, lambda: self._listening, self.pipeline)
        self._windows = SavedWindows(store, self.pipeline, lambda: True)
        self._services.open(self.now_s)
        self._windows.restore(self.now_s)
        if self._chance.random() < 0.2:
            restore(self.pipeline, None, self._store.book)
            catch_up(self.pipeline, store, self._store.book, lambda: self.now_s, ahead_s=0.0, kept={})
        else:
            restore(self.pipeline, store, self._store.book, lambda: self.now_s)

    def _pass(self, most_s: float = 2.0) -> None:
        self.now_s = round(self.now_s + self._chance.uniform(0.001, most_s), 3)

    def _events(self) -> None:
        self._pass()
        self.pipeline.process(self._batch(tuple(self._filters().sections)), self.now_s)

    def _tick(self) -> None:
        self._pass(self._chance.choice([1.0, 1.0, 1.0, 120.0]))
        for part in self.pipeline.tick_parts().values():
            try:
                part(self.now_s)
            except (TemporaryError, OSError):
                continue
        self._services.tick(self.now_s)

    def _mood(self) -> None:
        self._leader.mood = self._chance.choice([0.0, 0.0, 0.3])

    def _reload(self) -> None:
        self._settings = self._some_settings()
        offences = self._store.offences(0.0, 1000)
        self.pipeline.reconfigure(self._settings, offences, self.now_s, self._filters())

    def _restart(self) -> None:
        if self._chance.random() < 0.5:
            self._windows.save(self.now_s)
        self._pass(600.0)
        self._start()

    def _save(self) -> None:
        self._windows.tick(self.now_s)

    def _node_change(self) -> None:
        extra = [AllowEntry(self._someone(), "a resolver")] if self._chance.random() < 0.5 else []
        self._sysctls = Sysctls((32_768, 60_999), is_tcp_liberal=self._chance.random() < 0.2)
        self.pipeline.follow_node([self._node[0], *extra], self.now_s, self._around, self._sysctls)

    def _listen(self) -> None:
        ports = self._chance.sample([22, 25, 80, 443, 5000], 2)
        self._listening = frozenset((parse_address(NODE), 6, port) for port in ports)

    def _clock(self) -> None:
        step_s = self._chance.choice([-3600.0, -30.0, 45.0, 7200.0])
        self.now_s += step_s
        self.pipeline.follow_clock(step_s, self.now_s - step_s - 1, self.now_s)

    def _lost(self) -> None:
        held = [ban for ban in self.pipeline.ledger.bans() if ban.mode is Mode.ENFORCE][:2]
        self._leader.on_lost([Failure(ban.network, ban.strength, FailureCause.OVERLAP, "lost") for ban in held])

    def _correct(self) -> None:
        claims = list(self.pipeline.ledger.all_claims())[:3]
        self.pipeline.correct([msgspec.structs.replace(one, until_s=one.until_s - 20) for one in claims], self.now_s)

    def _order(self) -> None:
        self._pass()
        some = [self._someone() for _ in range(self._chance.randrange(1, 4))]
        orders: list[Callable[[], object]] = [
            lambda: self.pipeline.order([self._wish(one) for one in some], self.now_s),
            lambda: self.pipeline.unban(dict.fromkeys(some), self.now_s),
            lambda: self.pipeline.lift(some, self.now_s),
            lambda: self.pipeline.forget_refused(self.now_s),
            lambda: self._allow(some[0]),
            lambda: self._disallow(some[0]),
            lambda: self.pipeline.flush(self.now_s),
        ]
        self._chance.choices(orders, [6, 4, 2, 1, 2, 4, 1])[0]()

    def _wish(self, network: Network) -> OrderedBan:
        origin = self._chance.choice([ClaimOrigin.OPERATOR, ClaimOrigin.IMPORT, ClaimOrigin.LIST])
        strength = self._chance.choice([Strength.PROVEN, Strength.SPOOFABLE])
        return OrderedBan(network, strength, self._chance.choice(BANTIMES_S), "ordered", origin, origin.value)

    def _allow(self, network: Network) -> None:
        self._store.allowed_by_network[network] = Allowed(network, "a friend", self.now_s)
        self.pipeline.allow([AllowEntry(network, "a friend")], self.now_s)

    def _disallow(self, network: Network) -> None:
        for one in list(self._store.allowed_by_network):
            del self._store.allowed_by_network[one]
        self.pipeline.disallow([one.network for one in self.pipeline.added] or [network], self.now_s)

    def _someone(self) -> Network:
        address = parse_address(self._chance.choice(STRANGERS))
        return network_of(address, self._chance.choice([len(address) * 8] * 3 + [24]))


_NETWORKS = NodeNetworks(connected=(parse_network("192.0.2.0/24"),), uplink=(parse_network("192.0.2.0/24"),))


def differences(found: Sequence[Outcome], wanted: Sequence[Outcome]) -> list[Outcome]:
    """Return the first outcomes in which two runs differ; none if they are the same."""
    common = [one == other for one, other in zip(found, wanted, strict=False)]
    first = common.index(False) if False in common else len(common)
    return [*found[first : first + 1], *wanted[first : first + 1]] if first < max(len(found), len(wanted)) else []
