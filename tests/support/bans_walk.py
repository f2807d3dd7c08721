"""A random walk over bans: compares the daemon's stages and the kernel with the simple model.

Operations depend only on the seed; the times do not, because short bans really expire in the kernel meanwhile.
"""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from monitor.daemon.life.restore import restore
from monitor.daemon.pipeline.decision_record import DecisionRecord
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.table import NftablesTable
from monitor.model.addresses import Network, host, network_of
from monitor.model.alerts import Strength
from monitor.settings.schema import Settings
from monitor.state.saver import Saver
from tests.support.bans_model import ALLOWLIST, Ends, Key, Model, faults
from tests.support.lab import Host

_KEPT_OFFENCES = 1000


class Mismatch(Exception):  # noqa: N818 - named after the finding
    """Model and daemon or kernel disagree; the message has the difference, seed and step."""


class Stages:
    """The daemon's stages without its loop, wired as in `Service`, from store to kernel."""

    def __init__(self, directory: Path) -> None:
        """Start as after an installation; must be created in the network namespace to use."""
        self._path = directory / "nodewarden.db"
        settings = Settings()
        self._settings = msgspec.structs.replace(
            settings, bans=msgspec.structs.replace(settings.bans, allowlist=ALLOWLIST)
        )
        self.start()

    def start(self) -> None:
        """Start as the daemon does."""
        self.saver = Saver(self._path)
        store = self.saver.open()
        self.enforcer = NftablesEnforcer(max_bans=self._settings.bans.max_bans)
        self.pipeline = Pipeline(
            self._settings,
            (),
            lambda ledger, allowlist: Enforcement(NftablesTable(self.enforcer, ledger, allowlist)),
            (DecisionRecord(self.saver),),
        )
        restore(self.pipeline, store, self.saver)

    def save(self) -> None:
        """Write pending changes; only recent offences are kept, otherwise restarts would become slower and slower."""
        if not self.saver.flush(30) or self.saver.store is None:
            raise Mismatch(f"the store was not written: {self.saver.trouble}")
        self.saver.store.purge(0.0, _KEPT_OFFENCES)

    def stop(self) -> None:
        """Stop as on SIGTERM."""
        self.save()
        self.pipeline.enforcers.close()
        self.saver.close()

    def kill(self) -> None:
        """Stop as on SIGKILL: unwritten changes are lost."""
        self.pipeline.enforcers.close()
        if self.saver.store:
            self.saver.store.close()

    def in_ledger(self) -> dict[Key, float]:
        """Return the bans in force according to the daemon."""
        return {(ban.network, ban.strength): ban.until_s for ban in self.pipeline.ledger.bans()}

    def in_kernel(self, now_s: float) -> dict[Key, float]:
        """Return the bans in the kernel."""
        return {(e.network, e.strength): now_s + (e.timeout_s or 0.0) for e in self.enforcer.elements()}


class Walk:
    """A seeded random walk; `run` raises Mismatch at the first checkpoint that finds a difference."""

    def __init__(self, node: Host, directory: Path, seed: int, max_batch: int) -> None:
        """Start without bans; `node` is the host of the lab whose namespace the calling thread is in."""
        self._node = node
        self._max_batch = max_batch
        self.seed = seed
        self.done: Counter[str] = Counter()
        """Operations by kind."""
        self._random = random.Random(seed)
        self._hosts, self._prefixes = _universe(self._random)
        self.model = Model()
        self.stages = Stages(directory)

    @property
    def steps(self) -> int:
        """The number of operations done."""
        return self.done.total()

    def run(self, steps: int, every: int, tell: Callable[[str], None] = lambda _: None) -> None:
        """Do at least `steps` operations, with a checkpoint at least every `every`."""
        checked = self.steps
        while self.steps < steps:
            (step,) = self._random.choices(*zip(*_STEPS, strict=True))
            step(self)
            if self.steps - checked >= every or self.steps >= steps:
                self.check()
                checked = self.steps
                tell(f"{self.steps:,} operations, {len(self.model.ends):,} bans in force")

    def check(self) -> None:
        """Compare model, ledger and kernel, after the work that the daemon does each second and at each scrape."""
        self.stages.pipeline.table.counters()  # detects a missing table
        now_s = time.time()
        self.stages.pipeline.tick(now_s)
        self.model.expire(now_s)
        self._compare("ledger", self.model.ends, self.stages.in_ledger(), now_s)
        now_s = time.time()
        held = self.stages.in_kernel(now_s)
        self._compare("kernel", self.model.ends, held, now_s)
        for network, _ in held:
            if any(allowed.overlaps(network) for allowed in ALLOWLIST):
                raise Mismatch(f"{self._position()}: {network} is allowed but banned in the kernel")

    def _compare(self, what: str, expected: Ends, found: Ends, now_s: float) -> None:
        if different := faults(expected, found, now_s):
            raise Mismatch(f"{self._position()}: {len(different)} faults in the {what}: " + "; ".join(different[:5]))

    def _position(self) -> str:
        return f"seed {self.seed}, step {self.steps} ({dict(self.done)})"

    def _order(self) -> None:
        """Ban some networks as one batch."""
        now_s = time.time()
        policy = self.stages.pipeline.policy
        draft = policy.draft(now_s)
        for _ in range(self._random.randrange(1, self._max_batch)):
            is_prefix = self._random.random() < 0.02
            network = self._random.choice(self._prefixes if is_prefix else self._hosts)
            strength = self._random.choice(tuple(Strength))
            bantime_s = self._random.choice((2.0, 20.0, 2000.0, 200_000.0)) * self._random.uniform(0.2, 2)
            policy.order(draft, network, strength, bantime_s, "walk")
            self.model.order(network, strength, now_s + bantime_s, now_s)
            self.done["order"] += 1
        decisions = self.stages.pipeline.bans.carry_out(draft)
        if refused := next((one for one in decisions if one.failure), None):
            raise Mismatch(f"{self._position()}: the kernel refused {refused}")

    def _lift(self) -> None:
        """Lift the bans of some networks and write immediately, as the daemon does for an operator."""
        networks = self._random.sample(self._hosts, self._random.randrange(1, 1 + self._max_batch // 2))
        networks += self._random.sample(self._prefixes, self._random.randrange(1, 2 + self._max_batch // 8))
        self._lift_all(networks)

    def _lift_everything(self) -> None:
        self._lift_all({network for network, _ in self.model.ends})

    def _lift_all(self, networks: Iterable[Network]) -> None:
        ledger = self.stages.pipeline.ledger
        lifted = []
        for network in networks:
            lifted += [ban for strength in Strength if (ban := ledger.get(network, strength))]
            self.model.lift(network)
            self.done["unban"] += 1
        self.stages.pipeline.bans.lift(lifted, time.time())
        self._save()

    def _save(self) -> None:
        self.stages.save()
        self.model.saved = dict(self.model.ends)
        self.done["save"] += 1

    def _tick(self) -> None:
        now_s = time.time()
        self.stages.pipeline.tick(now_s)
        self.model.expire(now_s)
        self.done["tick"] += 1

    def _lose(self) -> None:
        """Flush the whole ruleset, as another program might."""
        self._node.nft("flush ruleset\n")
        self.done["flush ruleset"] += 1

    def _restart(self) -> None:
        self.stages.stop()
        self._start_again(self.model.ends)
        self.done["restart"] += 1

    def _kill(self) -> None:
        """Kill the daemon: unwritten changes are only in the kernel; without a table they are lost."""
        expected = self.model.ends if self.stages.enforcer.exists() else self.model.saved
        self.stages.kill()
        self._start_again(expected)
        self.done["kill"] += 1

    def _start_again(self, expected: Ends) -> None:
        """Start; the same addresses must be banned as before, but pieces of prefixes may now be separate bans."""
        self.stages.start()
        now_s = time.time()
        found = self.stages.in_ledger()
        self._compare("ledger after a start", expected, found, now_s)
        self.model.replace(found)
        self._compare("kernel after a start", found, self.stages.in_kernel(now_s), now_s)
        self._save()


_STEPS: tuple[tuple[Callable[[Walk], None], float], ...] = (
    (Walk._order, 60),
    (Walk._lift, 15),
    (Walk._save, 10),
    (Walk._tick, 10),
    (Walk._lose, 1),
    (Walk._restart, 1),
    (Walk._kill, 2),
    (Walk._lift_everything, 0.3),
)


def _universe(random_source: random.Random) -> tuple[list[Network], list[Network]]:
    """Return hosts and prefixes of both families that often overlap, some of them on the allowlist."""
    hosts = {host(bytes((20, *random_source.choices(range(4), k=1), *random_source.choices(range(16), k=2))))}
    hosts |= {host(bytes((20, i >> 12 & 3, i >> 8 & 15, i & 255))) for i in random_source.sample(range(1 << 14), 3000)}
    hosts |= {host(_address6(random_source)) for _ in range(2000)}
    around = random_source.sample(sorted(hosts, key=lambda n: (n.bits, n.address)), 400)
    lengths = {32: (31, 30, 28, 28, 26, 25, 24, 24, 24, 22, 20), 128: (124, 112, 96, 80, 72, 64, 64, 64, 60, 56)}
    prefixes = {network_of(network.address, random_source.choice(lengths[network.bits])) for network in around}
    return sorted(hosts, key=lambda n: (n.bits, n.address)), sorted(prefixes, key=lambda n: (n.bits, n))


def _address6(random_source: random.Random) -> bytes:
    network = b"\x24" + bytes(5) + bytes((random_source.randrange(2), random_source.randrange(24)))
    return network + random_source.randrange(1 << 60).to_bytes(8)


@contextlib.contextmanager
def walking(node: Host, directory: Path, seed: int, *, max_batch: int) -> Iterator[Walk]:
    """Yield a walk within the namespace of a host, up to `max_batch` orders in a batch."""
    with node.entered():
        walk = Walk(node, directory, seed, max_batch)
        try:
            yield walk
        finally:
            walk.stages.stop()
