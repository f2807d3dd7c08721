"""Sends the probes and collects what becomes of them."""

import contextlib
import errno
import os
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence

from monitor.audit.kernel import frames
from monitor.audit.kernel.job import Answer, Question, Socket
from monitor.audit.kernel.network import Network
from monitor.audit.kernel.programs import enter_network
from monitor.audit.kernel.trace import Traced, Tracer

_ETH_P_ALL = 0x0003
_IGNORE_OUTGOING = 23  # PACKET_IGNORE_OUTGOING
_SOL_PACKET = 263
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 32 << 20
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_BATCH = 64
_QUIET_S, _LONGEST_S = 0.03, 1.0
_MAX_STEPS = 128
_BACKLOG = 1024
_SPARE_FILES = 64


class Sender:
    """Sockets in both namespaces; `answers` has one for each question."""

    def __init__(self, network: Network, sockets: Sequence[Socket], questions: Sequence[Question]) -> None:
        self._network = network
        self._questions = questions
        self.answers = [Answer() for _ in questions]
        self.traces: list[list[Traced]] = [[] for _ in questions]
        self.loss: list[str] = []
        self.unbound: list[Socket] = []
        self._attempts = [-1] * len(questions)
        self._selector = selectors.DefaultSelector()
        enter_network(network.node)
        self._tracer = Tracer()
        enter_network(network.outside)
        self._most_listening = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES
        self._listening: list[socket.socket] = []
        self.listen(sockets)
        self._packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._packets.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        with contextlib.suppress(OSError):
            self._packets.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._packets.settimeout(0)

    def ask(self, numbers: Sequence[int], attempt: int, deadline_s: float) -> None:
        """Send one packet for each of these questions, and wait until nothing more comes."""
        for start in range(0, len(numbers), _BATCH):
            for number in numbers[start : start + _BATCH]:
                self._send(number, attempt)
            self._collect()
        until_s = min(time.monotonic() + _LONGEST_S, deadline_s)
        quiet_s = time.monotonic()
        while any(not self.answers[number].kind for number in numbers) and time.monotonic() < until_s:
            if self._collect():
                quiet_s = time.monotonic()
            elif time.monotonic() - quiet_s > _QUIET_S:
                return
            time.sleep(0.002)
        self._collect()  # the trace of what was answered last

    def unanswered(self, numbers: Sequence[int]) -> list[int]:
        """Return those of the questions to which nothing came."""
        return [number for number in numbers if not self.answers[number].kind]

    @property
    def lost_traces(self) -> int:
        """How often the kernel dropped trace messages."""
        return self._tracer.lost

    def listen(self, sockets: Iterable[Socket]) -> None:
        """Bind further sockets, where no other one is in the way."""
        enter_network(self._network.node)
        for one in sockets:
            try:
                self._bind(one)
            except OSError as error:
                self.unbound.append(one)
                self.loss.append(f"socket {one.protocol} {one.address}:{one.port}: {error.strerror}")
        enter_network(self._network.outside)

    def _bind(self, one: Socket) -> None:
        if len(self._listening) >= self._most_listening:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        family = socket.AF_INET6 if ":" in one.address else socket.AF_INET
        kind = socket.SOCK_STREAM if one.protocol == "tcp" else socket.SOCK_DGRAM
        with contextlib.ExitStack() as undo:
            bound = undo.enter_context(socket.socket(family, kind))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(one.is_v6_only))
                bound.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            else:
                bound.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            if one.device:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, one.device.encode())
            bound.bind((one.address, one.port))
            if kind == socket.SOCK_STREAM:
                bound.listen(_BACKLOG)
            else:
                bound.settimeout(0)
                self._selector.register(bound, selectors.EVENT_READ)
            undo.pop_all()
        self._listening.append(bound)

    def _send(self, number: int, attempt: int) -> None:
        question = self._questions[number]
        end = self._network.ends.get(question.link)
        if end is None:
            return
        family = socket.AF_INET6 if ":" in question.address else socket.AF_INET
        source = socket.inet_pton(family, question.sources[attempt % len(question.sources)])
        target = socket.inet_pton(family, question.address)
        identity = attempt * len(self._questions) + number
        frame = frames.probe(
            identity, self._network.macs[question.link], question.protocol, source, target, question.port
        )
        for _ in range(3):
            try:
                self._packets.sendto(frame, (end, 0))
            except BlockingIOError:
                self._collect()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._collect()
            else:
                return

    def _collect(self) -> bool:
        """Take what has come; whether that was anything."""
        count = 0
        for traced in self._tracer.read():
            count += 1
            number, attempt = traced.number % len(self._questions), traced.number // len(self._questions)
            if attempt > self._attempts[number]:
                self._attempts[number] = attempt
                self.traces[number].clear()
            if len(self.traces[number]) < _MAX_STEPS and attempt == self._attempts[number]:
                self.traces[number].append(traced)
        return bool(count + self._drain(self._frame) + self._datagrams())

    def _drain(self, take: Callable[[], None]) -> int:
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                take()
                count += 1
        return count

    def _frame(self) -> None:
        frame, (end, *_) = self._packets.recvfrom(2048)
        seen = frames.read_frame(frame)
        if seen is None or not self._known(seen.number):
            return
        answer = self.answers[seen.number % len(self.answers)]
        if answer.kind:
            return
        answer.kind = seen.kind  # type: ignore[assignment]  # one of its words
        if seen.kind == "left":
            answer.to_address, answer.to_port, answer.out_link = seen.address, seen.port, end

    def _datagrams(self) -> int:
        count = 0
        for key, _ in self._selector.select(0):
            with contextlib.suppress(OSError):
                number = frames.number_of_datagram(key.fileobj.recv(64))  # type: ignore[union-attr]
                count += 1
                if number is not None and self._known(number):
                    answer = self.answers[number % len(self.answers)]
                    answer.kind = answer.kind or "arrived"
        return count

    def _known(self, number: int) -> bool:
        """Whether a number can be one of a question: others are packets of somebody's, which there should not be."""
        return bool(self.answers) and number < 64 * len(self.answers)
