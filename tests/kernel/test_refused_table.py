"""The kernel refuses every change of the table: what is not in force is not in the ledger, and it is reported."""

import errno
import time
from collections.abc import Iterator

import pytest

from monitor.bans.decision import Verdict
from monitor.enforcers import netlink_socket
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables.drift import Drift, DriftKind
from monitor.enforcers.nftables.keeper import PARTS, TableKeeper
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.errors import NodewardenError, PermanentError
from tests.kernel.test_ban_faults import SHAPES
from tests.support.ban_core import BanCore
from tests.support.lab import Host, Lab
from tests.support.privileges import CAP_NET_ADMIN, without

pytestmark = pytest.mark.kernel

HELD = (parse_network("192.0.2.1"), parse_network("192.0.3.0/24"))


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """Make one namespace for all tests of this file."""
    with Lab("node", label="refused") as lab, lab["node"].entered():
        yield lab["node"]


@pytest.fixture
def core(node: Host) -> Iterator[BanCore]:
    """Yield a core with a few bans in force."""
    core = BanCore()
    core.enforcer.flush()
    core.order(*((network, 1000.0) for network in HELD))
    yield core
    core.close()


def _banned(core: BanCore) -> set[Network]:
    return {ban.network for ban in core.ledger.bans()}


@pytest.mark.parametrize("shape", SHAPES)
def test_bans_refused_for_want_of_a_privilege_are_not_in_the_ledger(core: BanCore, shape: str) -> None:
    """Without CAP_NET_ADMIN each ban of a batch is refused, in every shape; with it again, the next one is in force."""
    with without(CAP_NET_ADMIN):
        decisions = core.alert(*SHAPES[shape])
        core.tick()
        assert "CAP_NET_ADMIN" in core.table.faults["set_up"]
    assert {one.verdict for one in decisions} == {Verdict.REFUSED}
    assert all("CAP_NET_ADMIN" in one.failure for one in decisions)
    assert _banned(core) == set(HELD)
    core.tick()
    assert core.table.faults == {}
    core.check()
    assert {one.verdict for one in core.alert(*SHAPES[shape])} == {Verdict.BAN}
    core.check()


@pytest.mark.parametrize(
    "code",
    [errno.EPERM, errno.EACCES, errno.ENOMEM, errno.ENOBUFS, errno.EIO, errno.EAGAIN, errno.EINTR, errno.EBUSY,
     errno.EOPNOTSUPP, errno.EINVAL],
)  # fmt: skip
def test_bans_refused_with_any_error_are_not_in_the_ledger(
    core: BanCore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Every transaction fails as a whole: new bans are refused, longer ones keep their end, all as in the kernel."""
    ends = {ban.network: ban.until_s for ban in core.ledger.bans()}

    def refuse(self: NetlinkSocket, requests: object) -> dict[int, int]:
        raise netlink_socket._error_of(code)

    with monkeypatch.context() as broken:
        broken.setattr(NetlinkSocket, "transact", refuse)
        decisions = core.alert(*SHAPES["hosts"], *SHAPES["apart"])
        decisions += core.order(*((network, 5000.0) for network in HELD))
        core.tick()
        assert core.table.faults
    assert {one.verdict for one in decisions} == {Verdict.REFUSED}
    assert {ban.network: ban.until_s for ban in core.ledger.bans()} == ends
    core.tick()
    assert core.table.faults == {}
    core.check()


def test_a_ban_that_cannot_be_lifted_is_reported_and_lifted_later(core: BanCore) -> None:
    """The order fails, the fault names the reason; as soon as the kernel allows it, the ban is gone there too."""
    with without(CAP_NET_ADMIN):
        with pytest.raises(PermanentError, match="CAP_NET_ADMIN"):
            core.bans.unban([HELD[0]], time.time())
        core.tick()
        assert "1 bans" in core.table.faults["bans"]
    assert HELD[0] in {network for network, _ in core.in_kernel()}
    (kept,) = core.table.foreign.around(HELD[0], time.time())
    assert kept.author.startswith("nodewarden")
    core.tick()
    assert core.table.faults == {}
    core.check()


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOMEM])
def test_an_allowlist_that_cannot_be_written_is_reported_and_written_later(
    core: BanCore, node: Host, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """At once, and each second: the table stays as it is, so that no comparison would come soon."""

    def refuse(*_: object) -> dict[int, int]:
        raise netlink_socket._error_of(code)

    allowed = parse_network("203.0.113.0/24")
    with monkeypatch.context() as broken:
        broken.setattr(NetlinkSocket, "transact", refuse)
        with pytest.raises(NodewardenError):
            core.table.allow([allowed], time.time())
        assert "the former allowlist" in core.table.faults["allowlist"]
        core.tick()
        assert "the former allowlist" in core.table.faults["allowlist"]
    core.tick()
    assert core.table.faults == {}
    assert str(allowed) in node.run("nft", "list", "set", "inet", "nodewarden", "allow4").stdout
    core.check()


def test_an_allowlist_that_cannot_be_written_delays_no_ban(core: BanCore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel still takes is in force, meanwhile."""

    def refuse(*_: object) -> None:
        raise netlink_socket._error_of(errno.EOPNOTSUPP)

    monkeypatch.setattr(core.enforcer, "set_allowlist", refuse)
    with pytest.raises(PermanentError):
        core.table.allow([parse_network("203.0.113.0/24")], time.time())
    assert {one.verdict for one in core.alert(*SHAPES["hosts"])} == {Verdict.BAN}
    core.tick()
    assert set(core.table.faults) == {"allowlist"}
    core.check()


def test_changes_that_cannot_be_reverted_are_reported_until_they_are(core: BanCore, node: Host) -> None:
    """Notified or found by comparison, each kind stays a fault while the kernel refuses, and is reverted after that."""
    keeper = TableKeeper(core.table, core.enforcer, core.ledger)
    drifts = (
        Drift(DriftKind.ELEMENT_GONE, None, HELD[0], Strength.PROVEN, "ban4"),
        Drift(DriftKind.ELEMENT_GONE, None, HELD[1], Strength.PROVEN, "ban4_nets"),
        Drift(DriftKind.ALLOW_CHANGED),
        Drift(DriftKind.RULES_CHANGED),
        Drift(DriftKind.TABLE_GONE),
    )
    for drift in drifts:
        for name in ("ban4", "ban4_nets"):
            node.run("nft", "flush", "set", "inet", "nodewarden", name)
        with without(CAP_NET_ADMIN):
            keeper.revert([drift], time.time())
            core.tick()
            assert "CAP_NET_ADMIN" in core.table.faults["set_up"], drift.kind
            for part in PARTS:
                with pytest.raises(NodewardenError):
                    keeper.read(part, keeper.snapshot())
        core.tick()
        assert core.table.faults == {}, drift.kind
        core.check()
