"""Random alerts and orders that target the allowlist, and a check of the decisions that does not use the guard."""

import bisect
import random
from collections import Counter
from collections.abc import Iterable

import msgspec

from monitor.bans.decision import Decision
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.daemon.pipeline.wiring import build_rules
from monitor.model.addresses import Address, Network, network_of
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import AllowEntry, Ban
from monitor.settings.schema import Settings
from tests.support.policy import decide, order

_DETECTORS = ("port_scan", "host_sweep")
_EVIDENCE = Evidence(15, 15, 600.0, 0.0, 60.0, "distinct ports")
_ALLOWED = 50
_SECONDS_A_DECISION = 0.02
_TOP = {4: 32, 16: 128}


class Breach(Exception):  # noqa: N818 - named after the finding
    """An allowed network was banned; the message has network, seed and decision."""


class AllowAttack:
    """A stream of decisions by the daemon's policy, with every option enabled that could enlarge a ban."""

    def __init__(self, seed: int, now_s: float) -> None:
        """`now_s` is wall time in seconds; it advances with each decision."""
        self.seed = seed
        self.now_s = now_s
        self.decided = 0
        self._random = random.Random(seed)
        settings = _settings()
        self.max_bans = settings.bans.max_bans
        self.guard = Guard(AllowEntry(network, "allowed") for network in self._allowed())
        self.ledger = Ledger(max_bans=self.max_bans)
        self._policy = Policy(self.guard, self.ledger, build_rules(settings), uniform=self._random.random)
        self._targets = self.guard.networks()
        self._ranges = Ranges(self._targets)
        self._verdicts: Counter[str] = Counter()

    def run(self, count: int) -> None:
        """Make `count` decisions; Breach at the first ban of an allowed network."""
        for _ in range(count):
            self.now_s += _SECONDS_A_DECISION
            for decision in self._decide():
                self._verdicts[decision.verdict.value] += 1
                if decision.ban is not None:
                    self.check((decision.ban.network,))
            self.decided += 1
            if not self.decided % 1000:
                self.ledger.expire(self.now_s)

    def check(self, networks: Iterable[Network]) -> None:
        """Breach if one of these networks contains an allowed address."""
        for network in networks:
            if self._ranges.meet(network):
                raise Breach(f"{network} is banned but allowed: seed {self.seed}, decision {self.decided}")

    def in_force(self) -> Iterable[Ban]:
        """Return the unexpired bans of the ledger."""
        return [ban for ban in self.ledger.bans() if ban.until_s > self.now_s]

    def lift_all(self) -> None:
        """Lift all bans in the ledger."""
        for ban in list(self.ledger.bans()):
            self.ledger.remove(ban.network, ban.strength)

    def verdicts(self) -> str:
        """Return the number of each verdict as text."""
        return ", ".join(f"{count:,} {verdict}" for verdict, count in self._verdicts.most_common())

    def _decide(self) -> list[Decision]:
        address = self._address()
        strength = self._random.choice(tuple(Strength))
        if self._random.random() < 0.05:
            shortest = 8 if len(address) == 4 else 16
            network = network_of(address, self._random.randrange(shortest, _TOP[len(address)] + 1))
            return [order(self._policy, network, strength, 600.0, self.now_s)]
        length = 32 if len(address) == 4 else self._random.choice((64, 64, 56, 48, 128))
        alert = Alert(
            self._random.choice(_DETECTORS),
            self.now_s,
            address,
            network_of(address, length),
            is_alone=length == _TOP[len(address)] or self._random.random() < 0.5,
            strength=strength,
            evidence=_EVIDENCE,
        )
        return decide(self._policy, alert, self.now_s)

    def _address(self) -> Address:
        """Return any address, or one inside, at the border of, or near an allowed network."""
        if self._random.random() < 0.5:
            return self._random.randbytes(self._random.choice((4, 16)))
        network = self._random.choice(self._targets)
        first, last = int.from_bytes(network.address), int.from_bytes(network.last())
        near = self._random.randrange(1 << self._random.choice((2, 8, 16)))
        number = self._random.choice((first, last, first - 1, last + 1, first - near, last + near, first + near))
        return (number % (1 << network.bits)).to_bytes(len(network.address))

    def _allowed(self) -> list[Network]:
        """Return allowed networks of all sizes and both families."""
        lengths = {4: (32, 32, 30, 28, 24, 22, 16), 16: (128, 128, 127, 80, 64, 60, 48, 44)}
        addresses = [self._random.randbytes(self._random.choice((4, 16))) for _ in range(_ALLOWED)]
        return [network_of(address, self._random.choice(lengths[len(address)])) for address in addresses]


class Ranges:
    """Address ranges of networks that other networks are compared with; does not use the code of the guard."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._borders: dict[int, list[tuple[int, int]]] = {32: [], 128: []}
        for network in networks:
            borders = self._borders[network.bits]
            borders.append((int.from_bytes(network.address), int.from_bytes(network.last())))
        for bits, borders in self._borders.items():
            self._borders[bits] = _joined(sorted(borders))

    def meet(self, network: Network) -> bool:
        """Whether any address of this network is in one of the ranges."""
        borders = self._borders[network.bits]
        at = bisect.bisect_right(borders, int.from_bytes(network.last()), key=lambda border: border[0])
        return at > 0 and borders[at - 1][1] >= int.from_bytes(network.address)


def _joined(borders: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return sorted ranges as disjoint ones."""
    joined: list[tuple[int, int]] = []
    for first, last in borders:
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined


def _settings() -> Settings:
    """Return the default settings with every option for larger bans enabled, and no ban budget."""
    settings = Settings()
    replace = msgspec.structs.replace
    prefixes = replace(settings.bans.prefixes, ipv4_24=2, ipv6_64=2, ipv6_56=2, ipv6_48=2)
    budget = replace(settings.bans.budget, bans_per_minute=1_000_000)
    recidive = replace(settings.bans.recidive, maxretry=2)
    bans = replace(settings.bans, prefixes=prefixes, budget=budget, recidive=recidive, escalate_spoofable=True)
    return replace(settings, bans=bans)
