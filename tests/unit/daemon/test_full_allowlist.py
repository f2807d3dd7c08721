"""An allowlist that is full refuses orders, cuts what providers have too much of, and says so everywhere."""

from pathlib import Path
from typing import cast

from monitor.bans.allowlist import BY_COMMAND, NODE
from monitor.control.protocol import AllowAdd
from monitor.daemon.control.orders import Orders
from monitor.daemon.life import capacity
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.ebpf.xdp import ProgramUser, XdpProgram
from monitor.model.addresses import Network, host
from monitor.model.bans import MAX_ALLOWED, MAX_ALLOWED_NODE, AllowEntry
from monitor.model.errors import TemporaryError
from monitor.settings.schema import Settings
from monitor.sources.xdp.runner import XdpRunner
from monitor.sources.xdp.settings import XdpSettings
from monitor.state.changes import Allowed
from monitor.state.saver import Saver
from tests.support.policy import small_table


def apart(count: int, first: int = 0) -> list[Network]:
    """Return addresses that do not merge."""
    return [host((0x0B000000 + 2 * number).to_bytes(4)) for number in range(first, first + count)]


def ask(orders: Orders, networks: list[Network]) -> set[tuple[bool, str]]:
    """Allow networks by command; return the different answers."""
    answers = orders.allow(AllowAdd([str(network) for network in networks], "office"))
    assert len(answers) == len(networks)
    return {(answer["done"], answer["text"][:12]) for answer in answers}


def test_orders_beyond_the_bound_are_refused_and_leave_no_trace(tmp_path: Path) -> None:
    """What fits is allowed; one request more is refused as a whole; what merges or is covered still fits."""
    saver = Saver(tmp_path / "nodewarden.db")
    pipeline = Pipeline(Settings(), (), small_table)
    orders = Orders(pipeline, saver)
    assert ask(orders, apart(MAX_ALLOWED)) == {(True, "allowed")}
    saved = saver.pending
    assert ask(orders, apart(2, MAX_ALLOWED)) == {(False, "not allowed:")}
    assert saver.pending == saved
    assert pipeline.guard.protects(apart(1, MAX_ALLOWED)[0]) is None
    assert ask(orders, [Network(bytes((11, 0, 0, 0)), 16)]) == {(True, "allowed")}
    assert ask(orders, apart(2, MAX_ALLOWED)) == {(True, "allowed")}
    assert list(capacity.RoomProblems(pipeline.policy).found(0.0)) == []


def test_what_does_not_fit_is_a_problem_a_metric_and_a_finding() -> None:
    """Entries that were saved earlier and what the node has too much of are cut, and each provider is named."""
    node = [AllowEntry(network, "a resolver") for network in apart(MAX_ALLOWED_NODE + 7, 100_000)]
    pipeline = Pipeline(Settings(), node, small_table)
    saved = [AllowEntry(network, "office") for network in apart(MAX_ALLOWED)]
    pipeline.allow_again(saved, 0.0)
    found = {
        labels: value
        for name, labels, value in capacity.RoomSamples(pipeline.policy).samples()
        if name.endswith("_omitted")
    }
    assert (found[NODE,], found[BY_COMMAND,]) == (7, MAX_ALLOWED_NODE)
    problems = [one.text for one in capacity.RoomProblems(pipeline.policy).found(0.0)]
    assert [text.split(": ")[1].split(" are ")[0] for text in problems] == [
        "7 of node addresses, resolvers, sessions, scrapers and cluster",
        f"{MAX_ALLOWED_NODE} of `nodewarden allow add`",
    ]
    (room,) = capacity.part(pipeline.policy, 0.0).requirements
    assert room.missing == "; ".join(problems)


class _Program:
    """A program that notes where it is attached."""

    def __init__(self) -> None:
        self.modes: dict[str, str] = {}

    def attach(self, interface: str) -> None:
        """Attach it."""
        self.modes[interface] = "native"

    def poll(self, now_s: float) -> list[object]:
        """Return no senders."""
        return []


class _User:
    """Bans for the program, which holds the allowlist only if `fits`."""

    fits = False
    missing = missing_total = calls = 0

    def reload(self) -> None:
        """Load it again."""

    def take(self, program: object) -> None:
        """Fill it."""
        self.calls += 1
        if not self.fits:
            raise TemporaryError("map xdp_allow4: No space left on device")

    def release(self) -> None:
        """Stop using it."""


def test_a_program_without_room_for_the_allowlist_drops_nothing_and_says_why() -> None:
    """It is degraded, attached nowhere, asked again after a while only, and comes up when the allowlist fits."""
    user = _User()
    runner = XdpRunner(XdpSettings(("eth0",), 16), cast("ProgramUser", user), lambda _: None)
    program = cast("XdpProgram", _Program())
    runner.program = program
    runner.taken(program)
    for _ in range(5):
        assert list(runner.poll(program)) == []
    assert (runner.state, runner.is_working, program.modes, user.calls) == ("degraded", False, {}, 1)
    why = "the allowlist does not fit (map xdp_allow4: No space left on device)"
    assert runner.problems() == [f"nothing is dropped in front of the stack: {why}; nftables enforces all bans"]
    user.fits, runner._fill_at_s = True, 0.0
    list(runner.poll(program))
    assert (runner.state, runner.is_working, runner.problems(), user.calls) == ("up", True, [], 2)
    user.missing = 3
    assert runner.state == "degraded"
    assert runner.problems() == ["3 bans did not fit into XDP; nftables enforces them"]


def test_restored_entries_are_bounded(tmp_path: Path) -> None:
    """A store from before the bound yields the oldest entries, as many as may wait to be merged."""
    saver = Saver(tmp_path / "nodewarden.db")
    saver.open()
    for number, network in enumerate(apart(20)):
        saver.put_allowed(Allowed(network, "office", float(number)))
    assert saver.flush(10)
    assert saver.store is not None
    assert [entry.network for entry in saver.store.allowed(limit=7)] == apart(7)
    saver.close()
