"""Policy, ledger, enforcers and listeners without a daemon, and a check that all of them agree."""

import contextlib
import errno
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import pytest

from monitor.bans.decision import WRITTEN, Decision, Verdict
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.daemon.pipeline.ban_control import BanControl
from monitor.daemon.pipeline.decision_metrics import DecisionMetrics
from monitor.daemon.pipeline.decision_record import DecisionRecord
from monitor.daemon.pipeline.listeners import Listeners
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.netlink import NEW_ELEMENTS, NetlinkRequest
from monitor.enforcers.netlink_socket import NetlinkSocket, TooMuchAtOnce
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.table import NftablesTable
from monitor.model.addresses import Network
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import Ban, ClaimKey, ClaimOrigin, Mode, Offence, claim_key
from monitor.state.changes import TallyKey
from tests.support.bans_model import Key, faults

DETECTOR = "login_failures"
BANTIME_S = 600.0
RULES = Rules({DETECTOR: DetectorPolicy(Mode.ENFORCE, BANTIME_S)})


class Notebook:
    """The content that a store would have."""

    def __init__(self) -> None:
        self.claims: dict[ClaimKey, Ban] = {}
        self.offences: list[Offence] = []

    def put_ban(self, ban: Ban) -> None:
        """Add a claim."""
        self.claims[claim_key(ban)] = ban

    def remove_ban(self, ban: Ban) -> None:
        """Remove a claim."""
        self.claims.pop(claim_key(ban), None)

    def clear_bans(self) -> None:
        """Remove all claims."""
        self.claims.clear()

    def add_offence(self, offence: Offence) -> None:
        """Add an offence; what was spared is none."""
        if not offence.spared:
            self.offences.append(offence)

    def count_offence(self, key: TallyKey) -> None:
        """Count an offence in the history, which this is not."""


class BanCore:
    """All stages between an alert and the kernel; must be created in the network namespace to use."""

    def __init__(self, *, rules: Rules = RULES, max_bans: int = 2000, set_size: int = 2000) -> None:
        """`max_bans` limits the ledger, `set_size` each set of addresses in the kernel."""
        self.enforcer = NftablesEnforcer(max_bans=set_size)
        self.ledger = Ledger(max_bans=max_bans)
        self.policy = Policy(Guard([]), self.ledger, rules)
        self.table = NftablesTable(self.enforcer, self.ledger, [])
        self.latencies: list[float] = []
        self.cut: list[Network] = []
        self.record = Notebook()
        self.metrics = DecisionMetrics(self.latencies.append)
        self.listeners = Listeners([self.metrics, DecisionRecord(self.record)])
        self.bans = BanControl(self.policy, Enforcement(self.table), self.listeners, self.cut.extend)
        self.foreign: set[Key] = set()
        """Elements that other programs added to the kernel's sets."""

    def alert(self, *networks: Network, time_s: float | None = None) -> list[Decision]:
        """Raise a proven alert for each of these networks, as one batch; return the decisions."""
        now_s = time.time() if time_s is None else time_s
        draft = self.policy.draft(now_s)
        alerts = [alert_on(network, now_s) for network in networks]
        for one in alerts:
            self.policy.propose(draft, one)
        return self.bans.carry_out(draft, alerts)

    def order(
        self,
        *wishes: tuple[Network, float],
        origin: ClaimOrigin = ClaimOrigin.OPERATOR,
        name: str = "manual",
        strength: Strength = Strength.PROVEN,
    ) -> list[Decision]:
        """Order bans with this duration in seconds, as one batch."""
        draft = self.policy.draft(time.time())
        for network, bantime_s in wishes:
            self.policy.order(draft, network, strength, bantime_s, "test", origin, name)
        return self.bans.carry_out(draft)

    def now(self) -> float:
        """Return the wall time."""
        return time.time()

    def tick(self) -> None:
        """Do what the daemon does each second."""
        self.table.repair(time.time())
        self.bans.tick(time.time())

    def in_kernel(self) -> dict[Key, float]:
        """Return the bans in the kernel, without elements of other programs."""
        now_s = time.time()
        held = self.enforcer.elements() if self.enforcer.exists() else []
        ends = {(one.network, one.strength): now_s + (one.timeout_s or 0.0) for one in held}
        return {key: end_s for key, end_s in ends.items() if key not in self.foreign}

    def check(self) -> None:
        """Assert that kernel, ledger and store agree."""
        now_s = time.time()
        enforced = [ban for ban in self.ledger.bans() if ban.mode is Mode.ENFORCE]
        in_ledger = {(ban.network, ban.strength): ban.until_s for ban in enforced}
        assert faults(in_ledger, self.in_kernel(), now_s) == []
        claims = {claim_key(claim): claim for claim in self.ledger.all_claims()}
        assert claims == self.record.claims

    def check_answers(self, decisions: Sequence[Decision], before: dict[Key, float]) -> None:
        """Assert that answers and metrics match the bans in force; `before` is the state before this batch."""
        for one in decisions:
            key = one.network, Strength.PROVEN
            ban = self.ledger.get(*key)
            if one.verdict is Verdict.REFUSED:
                assert one.failure
                assert (one.ban, one.offence) == (None, None)
                assert (ban.until_s if ban else None) == before.get(key)
            else:
                assert one.ban is not None
                ban = self.ledger.get(one.ban.network, one.ban.strength)
                assert ban is not None
                assert ban.until_s >= one.ban.until_s
        for verdict in Verdict:
            told = sum(one.verdict is verdict for one in decisions)
            counted = sum(count for (_, which), count in self.metrics.decisions.items() if which is verdict)
            assert counted >= told
        in_force = [one for one in decisions if one.verdict in WRITTEN]
        assert len(self.latencies) == sum(
            count
            for (detector, which), count in self.metrics.decisions.items()
            if which in WRITTEN and detector != "manual"
        )
        assert set(self.cut) >= {one.network for one in in_force if one.verdict is Verdict.BAN}

    def close(self) -> None:
        """Delete the table."""
        with contextlib.suppress(FileNotFoundError):
            self.enforcer.flush()
        self.enforcer.close()


def alert_on(network: Network, time_s: float, detector: str = DETECTOR) -> Alert:
    """Return an alert of a proven offence."""
    evidence = Evidence(5, 5, 600.0, time_s - 10, time_s, "failed logins", ())
    return Alert(detector, time_s, network.address, network, network.is_host, Strength.PROVEN, evidence)


_Transact: TypeAlias = Callable[[NetlinkSocket, Sequence[NetlinkRequest]], dict[int, int]]


def _on_behalf_of(take: _Transact) -> _Transact:
    """Return a function that, unlike a bound method, becomes a method of the class that it is assigned to."""

    def transact(link: NetlinkSocket, requests: Sequence[NetlinkRequest]) -> dict[int, int]:
        return take(link, requests)

    return transact


class Trouble:
    """Intercepts transactions of the daemon that contain certain networks, and makes them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._transact = NetlinkSocket.transact
        self._addresses: tuple[bytes, ...] = ()
        self._cause = ""
        self._left = 0
        self._before: Callable[[], object] = lambda: None
        self._kinds: tuple[int, ...] = (NEW_ELEMENTS,)
        self.count = 0
        """The number of transactions that it made fail."""
        monkeypatch.setattr(NetlinkSocket, "transact", _on_behalf_of(self._take))

    @contextlib.contextmanager
    def of(
        self,
        cause: str,
        networks: Sequence[Network],
        *,
        times: int = 1 << 30,
        before: Callable[[], object] = lambda: None,
        kinds: tuple[int, ...] = (NEW_ELEMENTS,),
    ) -> Iterator[None]:
        """Make transactions with requests of these kinds for these networks fail: "busy", "undone", "done" or "call".

        "undone" and "done" lose the answer, without or after executing the transaction. "call" calls `before` first.
        """
        self._addresses = tuple(network.address for network in networks)
        self._cause, self._left, self._before, self._kinds = cause, times, before, kinds
        self.count = 0
        try:
            yield
        finally:
            self._left = 0

    def _take(self, link: NetlinkSocket, requests: Sequence[NetlinkRequest]) -> dict[int, int]:
        hit = [
            index
            for index, request in enumerate(requests)
            if request.type in self._kinds and any(address in request.body for address in self._addresses)
        ]
        if not hit or not self._left:
            return self._transact(link, requests)
        self._left -= 1
        self.count += 1
        if self._cause == "busy":
            return dict.fromkeys(hit, errno.EBUSY)
        if self._cause == "undone":
            raise TooMuchAtOnce
        self._before() if self._cause == "call" else None
        answer = self._transact(link, requests)
        if self._cause == "done":
            raise TooMuchAtOnce
        return answer
