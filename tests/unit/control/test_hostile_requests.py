"""What members of the socket's group may send: every request gets an answer, and none costs the daemon anything."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.control import protocol
from monitor.control.clients import Client, Clients
from monitor.control.protocol import BanOrder, Reply, Request, RequestedBan, Status, Unban, decode_reply
from monitor.control.server import ControlServer
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.settings.schema import Settings
from tests.support.answers import answers_of
from tests.support.policy import willing_table

_TYPES = [one for group in get_args(Request) for one in (get_args(group) or (group,))]
_TAGS = [one.__struct_config__.tag for one in _TYPES]
_FIELDS = sorted({name for one in _TYPES for name in one.__struct_fields__} | {"bantime_s", "reason", "set"})
_NUMBERS = st.integers() | st.floats() | st.sampled_from([1e308, -1, 2**63, 2**64, 0])
_TEXTS = st.text(max_size=20) | st.sampled_from(
    ["192.0.2.1", "::/0", "0.0.0.0/0", "\x1b[2J", "\u202e", "\0", "::ffff:1.2.3.4"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=4),
    max_leaves=8,
)
_BANS = st.fixed_dictionaries({"network": _TEXTS, "bantime_s": _NUMBERS}, optional={"reason": _TEXTS, "set": _TEXTS})


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Draw a line that is nearly a request, or is one with values that nobody sends."""
    request: dict[str, Any] = {"type": draw(st.sampled_from([tag for tag in _TAGS if tag != "reload"]))}
    names = draw(st.lists(st.sampled_from(_FIELDS), max_size=3, unique=True))
    plausible = {
        "bans": st.lists(_BANS, max_size=3),
        "networks": st.lists(_TEXTS, max_size=3),
        "everything": st.booleans(),
    }
    request |= {name: draw(st.one_of(_VALUES, plausible.get(name, _TEXTS))) for name in names}
    line = json.dumps(request).encode()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.binary(max_size=3)) + line[at + draw(st.integers(0, 3)) :]
    return line.replace(b"\n", b" ")


class Served:
    """A server with the real answers, on a loop in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "control.sock"
        self.faults: list[Exception] = []
        self.loop = asyncio.new_event_loop()
        self.answers = answers_of(Pipeline(Settings(), (), willing_table), directory)
        self.server = ControlServer(
            self.path, self.answers.handle, lambda _, error: self.faults.append(error), request_timeout_s=0.3
        )
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.run(self.server.open("no-such-group"))

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self) -> None:
        """Stop all."""
        self.run(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def raw(self, data: bytes) -> Reply:
        """Send bytes and return the reply."""
        with self.connect() as client:
            client.sendall(data)
            return decode_reply(client.makefile("rb").readline())

    def connect(self) -> socket.socket:
        """Return an idle connection."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(str(self.path))
        return client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield one server for all tests of this file."""
    running = Served(tmp_path_factory.mktemp("control"))
    yield running
    running.close()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=lines())
def test_every_line_gets_an_answer(served: Served, line: bytes) -> None:
    """An error in a sentence, or a result; never an internal fault, never silence."""
    reply = served.raw(line + b"\n")
    assert reply.ok or reply.error
    assert served.faults == []


def test_an_internal_fault_is_answered_and_told(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in an answer costs that answer; who asked is told, and so is the supervisor."""
    monkeypatch.setattr(served.answers, "_status", lambda: 1 / 0)
    assert "internal fault" in served.raw(msgspec.json.encode(Status()) + b"\n").error
    (fault,) = served.faults
    assert isinstance(fault, ZeroDivisionError)
    served.faults.clear()


def test_what_cannot_be_encoded_is_answered(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file name that is not UTF-8, say, in the status."""
    monkeypatch.setattr(served.answers, "_status", lambda: {"file": "\udcff"})
    assert served.raw(msgspec.json.encode(Status()) + b"\n").result == {"file": r"\udcff"}
    assert served.faults == []


def test_an_idle_connection_is_told_why_it_is_closed(served: Served) -> None:
    """No request within the time: an answer, and the end; bytes now and then do not lengthen it."""
    with served.connect() as client:
        client.sendall(b'{"type"')
        assert "no whole request within 0.3 s" in decode_reply(client.makefile("rb").readline()).error


def test_half_an_order_of_a_connection_that_gave_way_is_not_carried_out(served: Served) -> None:
    """Only what was sent with its end, or by a client that closed, is a request."""
    idle = [served.connect() for _ in range(16)]
    idle[0].sendall(msgspec.json.encode(Unban(["192.0.2.77"], everything=True)))
    before = served.server.dropped["crowded"]
    for _ in range(2):
        assert served.raw(msgspec.json.encode(Status()) + b"\n").ok
    assert served.server.dropped["crowded"] > before
    assert "too many commands" in decode_reply(idle[0].makefile("rb").readline()).error
    for one in idle:
        one.close()


class User(Client):
    """A connection of a user."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.is_idle = True
        self.is_refused = False


def test_idle_members_never_take_the_places_of_root() -> None:
    """Hundreds of connections of members, of one user or many, leave root's alone; each user pushes out its own."""
    clients = Clients()
    admin = User(0)
    assert clients.admit(admin) == (True, None)
    first = [User(1000) for _ in range(8)]
    assert [clients.admit(one) for one in first] == [(True, None)] * 8
    assert clients.admit(User(1000)) == (True, first[0])
    for uid in range(1001, 1200):
        has_place, gone = clients.admit(User(uid))
        assert has_place
        assert gone is not admin
    roots = [User(0) for _ in range(15)]
    assert [clients.admit(one) for one in roots] == [(True, None)] * 15
    assert clients.admit(User(0)) == (True, admin)


def test_a_command_at_work_is_not_pushed_out() -> None:
    """Where all places of a user are taken by requests, the next one is refused; it is free again after one ended."""
    clients = Clients()
    busy = [User(1000) for _ in range(8)]
    for one in busy:
        clients.admit(one)
        one.is_idle = False
    assert clients.admit(User(1000)) == (False, None)
    clients.remove(busy[3])
    assert clients.admit(User(1000)) == (True, None)


def test_others_get_their_turn_during_a_large_order(served: Served) -> None:
    """An order of many bans is carried out in slices, between which other commands are answered."""
    order = BanOrder([RequestedBan(f"198.18.{n >> 8}.{n & 255}", 60.0) for n in range(320)])
    asked: list[int] = []

    async def both() -> tuple[Reply, list[int]]:
        ordered = asyncio.ensure_future(served.answers.handle(order))
        while not ordered.done():
            reply = await served.answers.handle(protocol.ListBans())
            asked.append(reply.result["total"])
            await asyncio.sleep(0)
        return await ordered, asked

    reply, seen = served.run(both())
    assert len(reply.result) == 320
    assert len(set(seen)) > 5
    assert served.raw(msgspec.json.encode(Unban(everything=True)) + b"\n").ok
    assert served.run(served.answers.handle(protocol.ListBans())).result["total"] == 0
