"""Names for the allowlist: bounded, kept while they cannot be resolved, never waited for."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.addresses import Address, parse_address
from monitor.node.names import MAX_ADDRESSES, MAX_NAMES, Names, is_name, resolve

_REASON = "an API server of the cluster (/etc/kubernetes/kubelet.conf: server)"


def addresses(*texts: str) -> list[Address]:
    """Return packed addresses."""
    return [parse_address(text) for text in texts]


class Rig:
    """Names with a resolver and a clock that a test sets."""

    def __init__(self, timeout_s: float = 10.0) -> None:
        self.answer: Sequence[Address] | OSError | UnicodeError = []
        self.clock_s = 1000.0
        self.asked: list[str] = []
        self.changes = 0
        self.names = Names(self._changed, self._resolve, lambda: self.clock_s, timeout_s)

    def _changed(self) -> None:
        self.changes += 1

    def _resolve(self, name: str) -> Sequence[Address]:
        self.asked.append(name)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def ask(self, answer: Sequence[Address] | OSError | UnicodeError, passed_s: float = 400.0) -> list[str]:
        """Have the due names resolved to this answer, some time later; return what is protected."""
        self.answer, self.clock_s = answer, self.clock_s + passed_s
        count = len(self.asked)
        self.names.attach(asyncio.get_running_loop())
        await until(lambda: self._looks() and len(self.asked) > count and self.is_settled)
        return self.protected

    def _looks(self) -> bool:
        """Let the names look whether one is due: where the thread of the last answer has not ended yet, it waits."""
        self.names.tick()
        return True

    @property
    def is_settled(self) -> bool:
        """Whether no attempt is under way."""
        return all(known.is_answered for known in self.names._names.values())

    @property
    def protected(self) -> list[str]:
        """The networks on the allowlist."""
        return [str(entry.network) for entry in self.names.entries]


async def until(condition: Callable[[], bool]) -> None:
    """Leave the loop to others until this is true."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never became true")


def on_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test on a loop."""

    def run() -> None:
        asyncio.run(test())  # type: ignore[arg-type]

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@on_loop
async def test_a_name_protects_its_addresses() -> None:
    """Those of both families; a change is reported once; what an answer no longer has stays for an hour."""
    rig = Rig()
    rig.names.want({"cp.example.com": _REASON})
    assert await rig.ask(addresses("192.0.2.1", "2001:db8::1")) == ["192.0.2.1", "2001:db8::1"]
    assert {entry.reason for entry in rig.names.entries} == {f"{_REASON}: cp.example.com"}
    assert (rig.names.problems(), rig.names.unresolved, rig.changes) == ([], 0, 1)
    assert rig.names.part(is_wanted=True).state == "ok"
    await rig.ask(addresses("2001:db8::1", "192.0.2.1"))
    assert rig.changes == 1
    assert await rig.ask(addresses("192.0.2.2")) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert await rig.ask(addresses("192.0.2.2"), 3600) == ["192.0.2.2"]
    rig.names.want({})
    assert rig.protected == []


@pytest.mark.parametrize(
    "failure",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        UnicodeError("label too long"),
        OSError(24, "Too many open files"),
        addresses("0.0.0.0"),
        addresses("224.0.0.1", "255.255.255.255", "169.254.1.1", "fe80::1", "ff02::1", "::"),
        [],
    ],
)
def test_a_name_that_fails_keeps_its_addresses(failure: OSError | UnicodeError | Sequence[Address]) -> None:
    """However it fails, at first nothing is protected, and later the last answer is; both are problems."""

    async def run() -> None:
        rig = Rig()
        rig.names.want({"cp.example.com": _REASON})
        assert await rig.ask(failure) == []
        assert "is not protected, it cannot be resolved" in rig.names.problems()[0]
        assert rig.names.unresolved == 1
        assert rig.names.part(is_wanted=True).state == "missing"
        assert await rig.ask(addresses("192.0.2.1")) == ["192.0.2.1"]
        assert rig.names.problems() == []
        assert await rig.ask(failure, 7200) == ["192.0.2.1"]
        assert "is protected by its last addresses (192.0.2.1)" in rig.names.problems()[0]

    asyncio.run(run())


@on_loop
async def test_what_is_trusted_is_bounded() -> None:
    """Of ten thousand addresses sixteen are protected, and the same ones next time; of forty names sixteen are."""
    rig = Rig()
    rig.names.want({"cp.example.com": _REASON})
    many = [b"\xc6\x12" + number.to_bytes(2) for number in range(10_000)]
    first = await rig.ask(many)
    assert len(first) == MAX_ADDRESSES
    assert "has 9984 addresses too many" in rig.names.problems()[0]
    assert await rig.ask(many[::-1]) == first
    rig.names.want({f"n{number}.example.com": _REASON for number in range(40)})
    await rig.ask(addresses("192.0.2.1"))
    assert len(set(rig.asked)) == MAX_NAMES + 1
    assert rig.names.unresolved == 24
    assert "24 more names" in rig.names.problems()[0]
    assert rig.names.part(is_wanted=True).state == "missing"


@on_loop
async def test_this_node_needs_no_protection() -> None:
    """Debian's /etc/hosts gives the node's own name 127.0.1.1: no entry, and no problem."""
    rig = Rig()
    rig.names.want({"cp1": _REASON})
    assert await rig.ask(addresses("127.0.1.1", "::1")) == []
    assert rig.names.problems() == []


@contextlib.contextmanager
def stuck() -> Iterator[tuple[threading.Event, list[float]]]:
    """Yield what frees the stuck resolver."""
    free = threading.Event()
    try:
        yield free, []
    finally:
        free.set()


@on_loop
async def test_a_stuck_resolver_holds_nobody() -> None:
    """The attempt is given up after its time, no second one starts meanwhile, and a late answer still counts."""
    with stuck() as (free, calls):

        def wait(_: str) -> Sequence[Address]:
            calls.append(time.monotonic())
            free.wait(20)
            return addresses("192.0.2.9")

        names = Names(lambda: None, wait, timeout_s=0.05)
        names.want({"cp.example.com": _REASON})
        names.attach(asyncio.get_running_loop())
        await until(lambda: "no answer within" in "".join(names.problems()))
        for known in names._names.values():
            known.due_s = 0.0
        names.tick()
        assert len(calls) == 1
        free.set()
        await until(lambda: [str(entry.network) for entry in names.entries] == ["192.0.2.9"])
        assert names.problems() == []


@settings(max_examples=50)
@given(st.text() | st.from_regex(r"[a-z0-9.:-]{1,80}", fullmatch=True))
def test_names_are_those_of_hosts(text: str) -> None:
    """What counts as a name is one for the resolver: ASCII, short enough, no address and no number."""
    if is_name(text):
        assert text.isascii()
        assert len(text.encode("idna")) <= 255
        with pytest.raises(ValueError, match="IP address"):
            parse_address(text)


@pytest.mark.parametrize(
    "text", ["localhost", "a.localhost", "10.1", "1", "0x7f000001", "a..b", "-a", "a b", "", "ä.de"]
)
def test_these_are_no_names(text: str) -> None:
    """Neither loopback, nor numbers that inet_aton(3) takes for addresses."""
    assert not is_name(text)


def test_the_system_resolves() -> None:
    """By /etc/hosts, without a network; what is unknown to it is an OSError."""
    assert parse_address("127.0.0.1") in resolve("localhost")
    with pytest.raises(OSError):  # noqa: PT011 - gaierror has many texts
        resolve("does-not-exist.invalid")
