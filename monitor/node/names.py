"""Resolves the names that files of the cluster give instead of addresses, for the allowlist only.

Whoever answers for such a name decides what is never banned. So only names count that root's files name, few of them,
with few addresses each; nothing that a source controls is ever resolved. A name keeps its last addresses while it
cannot be resolved. Pools that answer with some of their addresses in turn are protected as far as they were seen
within an hour.

Resolving is getaddrinfo(3), as for the programs that these files are for: it reads /etc/hosts and nsswitch.conf. It
cannot be interrupted, so each name has a thread that nothing waits for: after `TIMEOUT_S` its answer is missed, and
there is no new attempt before it ends.
"""

import asyncio
import contextlib
import ipaddress
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from monitor.model.addresses import Address, fold_mapped, format_address, host
from monitor.model.bans import AllowEntry
from monitor.model.requirements import Part, PartKind, Requirement

_log = logging.getLogger(__name__)
MAX_NAMES = 16
MAX_ADDRESSES = 16
"""Per name: more are not protected, because nobody says that all of them are servers of the cluster."""
TIMEOUT_S = 10.0
_RENEW_S, _RETRY_S, _AT_MOST_EVERY_S = 300.0, 30.0, 3.0
_KEEP_S = 3600.0
_SHOWN = 4
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_name = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?").fullmatch
_NUMBERS = re.compile(r"[0-9.]+|0[xX][0-9A-Fa-f]+")
"""What getaddrinfo would take for an address although parse_address does not."""

Resolve = Callable[[str], Sequence[Address]]


def is_name(text: str) -> bool:
    """Whether this is a host name (RFC 1123) of the network: `localhost` is none."""
    is_local = text.rstrip(".").lower().rpartition(".")[2] == "localhost"
    return len(text) <= 253 and _name(text) is not None and not _NUMBERS.fullmatch(text) and not is_local


def resolve(name: str) -> list[Address]:
    """Return all addresses of a name; OSError says why there are none. May take half a minute."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    packed = [socket.inet_pton(family, str(where[0]).partition("%")[0]) for family, _, _, _, where in found]
    return list(dict.fromkeys(map(fold_mapped, packed)))


def _in_order(addresses: Iterable[Address]) -> list[Address]:
    """Return them sorted, those of IPv4 first."""
    return sorted(addresses, key=lambda address: (len(address), address))


def _is_loopback(address: Address) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _is_usable(address: Address) -> bool:
    """Whether a server can have this address; answers of filters (0.0.0.0) and multicast groups are none."""
    one = ipaddress.ip_address(address)
    broadcast = address == b"\xff" * 4
    return not (one.is_unspecified or one.is_loopback or one.is_multicast or one.is_link_local or broadcast)


class _Name(msgspec.Struct):
    """What is known of a name; times are of the monotonic clock, in seconds."""

    reason: str
    addresses: dict[Address, float] = msgspec.field(default_factory=dict)
    """With the time of the last answer that had them."""
    trouble: str = ""
    omitted: int = 0
    """How many addresses of the last answer are not protected."""
    due_s: float = float("-inf")
    asked_s: float = float("-inf")
    attempt: int = 0
    is_answered: bool = True
    thread: threading.Thread | None = None


class Names:
    """Keeps the addresses of names. All methods are for the loop's thread."""

    def __init__(
        self,
        on_change: Callable[[], None],
        resolve: Resolve = resolve,
        clock: Callable[[], float] = time.monotonic,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`on_change` is called when `entries` changed; `clock` is monotonic, in seconds."""
        self._on_change = on_change
        self._resolve = resolve
        self._clock = clock
        self._timeout_s = timeout_s
        self._names: dict[str, _Name] = {}
        self._too_many = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Resolve from now on, and report to this loop."""
        self._loop = loop
        self.tick()

    def want(self, names: Mapping[str, str]) -> None:
        """Keep these names, and no others; the values are the reasons of their entries. All are resolved again soon.

        The caller follows `entries` itself.
        """
        kept = list(names)[:MAX_NAMES]
        self._too_many = len(names) - len(kept)
        for name in self._names.keys() - kept:
            del self._names[name]
        for name in kept:
            known = self._names.setdefault(name, _Name(names[name]))
            known.reason = names[name]
            known.due_s = min(known.due_s, known.asked_s + _AT_MOST_EVERY_S)
        self.tick()

    def tick(self) -> None:
        """Resolve what is due; call it every few seconds."""
        now_s = self._clock()
        for name, known in self._names.items():
            if self._loop and now_s >= known.due_s and not (known.thread and known.thread.is_alive()):
                self._ask(self._loop, name, known, now_s)

    @property
    def entries(self) -> list[AllowEntry]:
        """Return what the names stand for."""
        return [
            AllowEntry(host(address), f"{known.reason}: {name}")
            for name, known in self._names.items()
            for address in _in_order(known.addresses)
        ]

    @property
    def unresolved(self) -> int:
        """The number of names that are not protected, or not by their present addresses."""
        return sum(bool(known.trouble) for known in self._names.values()) + self._too_many

    def problems(self) -> list[str]:
        """Say which names are not protected, and why."""
        found = [f"{name} ({known.reason}) {text}" for name, known, text in self._troubles()]
        if self._too_many:
            found.append(f"{self._too_many} more names of servers of the cluster are not resolved, nor protected")
        return found

    def part(self, *, is_wanted: bool) -> Part:
        """Return the part of the self-check."""
        repair = "getent ahosts NAME, to see what the system says; or put the addresses into bans.allowlist"
        missing = {name: text for name, _, text in self._troubles()}
        requirements = [
            Requirement(f"the addresses of {name}", missing.get(name, ""), repair.replace("NAME", name))
            for name in self._names
        ]
        if self._too_many:
            text = f"there are {self._too_many} more"
            requirements.append(Requirement(f"at most {MAX_NAMES} names of servers of the cluster", text, repair))
        return Part("names", PartKind.PROTECTION, is_wanted, requirements)

    def _troubles(self) -> Iterator[tuple[str, _Name, str]]:
        for name, known in self._names.items():
            if known.trouble and known.addresses:
                shown = ", ".join(map(format_address, _in_order(known.addresses)[:_SHOWN]))
                yield (
                    name,
                    known,
                    f"is protected by its last addresses ({shown}), it cannot be resolved: {known.trouble}",
                )
            elif known.trouble:
                yield name, known, f"is not protected, it cannot be resolved: {known.trouble}"
            elif known.omitted:
                text = f"has {known.omitted} addresses too many, which are not protected: at most {MAX_ADDRESSES} are"
                yield name, known, text

    def _ask(self, loop: asyncio.AbstractEventLoop, name: str, known: _Name, now_s: float) -> None:
        """Start an attempt, and note that it took too long if it does."""
        known.attempt += 1
        known.asked_s, known.due_s = now_s, now_s + _RETRY_S
        known.is_answered = False
        known.thread = threading.Thread(
            target=self._work, args=(loop, name, known.attempt), name=f"resolve {name}"[:15], daemon=True
        )
        try:
            known.thread.start()
        except RuntimeError:
            known.thread = None
            self._failed(name, known, "the system has no thread to spare")
        else:
            loop.call_later(self._timeout_s, self._missed, name, known, known.attempt)

    def _work(self, loop: asyncio.AbstractEventLoop, name: str, attempt: int) -> None:
        """Resolve a name; runs in a thread of its own."""
        try:
            answer: Sequence[Address] | str = self._resolve(name)
        except (OSError, ValueError) as error:  # ValueError: of the codec of names
            answer = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._answered, name, attempt, answer)

    def _missed(self, name: str, known: _Name, attempt: int) -> None:
        if self._names.get(name) is known and known.attempt == attempt and not known.is_answered:
            self._failed(name, known, f"no answer within {self._timeout_s:g} s")

    def _answered(self, name: str, attempt: int, answer: Sequence[Address] | str) -> None:
        """Take an answer, a late one as well; not one of a name that is no longer wanted."""
        known = self._names.get(name)
        if known is None or known.attempt != attempt:
            return
        known.is_answered = True
        if isinstance(answer, str):
            self._failed(name, known, answer)
            return
        usable = sorted(filter(_is_usable, answer))
        if not usable and not (answer and all(map(_is_loopback, answer))):  # this node itself needs no protection
            self._failed(name, known, "the answer has no address of a server")
            return
        self._take(name, known, usable)

    def _take(self, name: str, known: _Name, usable: Sequence[Address]) -> None:
        """Protect these addresses, and of former ones those of the last hour, as many as may be."""
        now_s = self._clock()
        before = set(known.addresses)
        former = {address: seen_s for address, seen_s in known.addresses.items() if now_s - seen_s < _KEEP_S}
        seen = former | dict.fromkeys(usable, now_s)
        latest = sorted(seen, key=lambda address: (-seen[address], address not in before, address))[:MAX_ADDRESSES]
        known.addresses = {address: seen[address] for address in latest}
        if known.trouble:
            _log.info("%s is resolved again", name)
        known.trouble = ""
        known.omitted = len(set(usable) - set(latest))
        known.due_s = now_s + _RENEW_S
        if set(latest) != before:
            shown = ", ".join(map(format_address, _in_order(latest)))
            _log.info("%s (%s) is never banned at %s", name, known.reason, shown)
            self._on_change()

    def _failed(self, name: str, known: _Name, why: str) -> None:
        if known.trouble != why:
            _log.warning("%s (%s) cannot be resolved for the allowlist: %s", name, known.reason, why)
        known.trouble = why
