"""One pipeline that exchanges with a LAPI, without a kernel; and servers between them that misbehave."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from monitor.crowdsec.settings import CrowdsecSettings
from monitor.daemon.crowdsec.bridge import Crowdsec
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.enforcers.enforcement import Enforcement
from monitor.model.addresses import parse_network
from monitor.model.bans import AllowEntry, Ban, Mode
from monitor.settings.schema import Settings

_LIMIT_S = 30.0


class Node:
    """A node: pipeline and bridge, in the running loop. `step` is the daemon's second, only without the wait."""

    def __init__(self, settings: CrowdsecSettings, *, allowlist: str = "") -> None:
        """Begin at once."""
        self.faults: list[str] = []
        self.entries = 0
        self.bridge = Crowdsec(settings, lambda what, error: self.faults.append(f"{what}: {error!r}"))
        self.pipeline = Pipeline(
            Settings(),
            [AllowEntry(parse_network(allowlist), "a test")] if allowlist else (),
            lambda *_: Enforcement(MemoryLeader()),
            (self.bridge,),
        )
        self.bridge.open(self.pipeline, self._follow)

    def _follow(self) -> None:
        self.entries += 1

    def bans(self, name: str = "crowdsec/lapi") -> dict[str, Ban]:
        """Return the claims of this name, by network."""
        return {str(one.network): one for one in self.pipeline.ledger.all_claims() if one.detector == name}

    async def until(self, condition: Callable[[], object]) -> None:
        """Run until a condition is true."""
        try:
            async with asyncio.timeout(_LIMIT_S):
                while not condition():
                    self.bridge.poll()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            said = [*self.bridge.notices(), *(one.text for one in self.bridge.problems())]
            raise AssertionError(f"it does not come: {said}, {self.bans()}") from None


def settings_for(url: str, directory: Path, key: str, machine: str = "", **more: object) -> CrowdsecSettings:
    """Return settings that enforce and ask as often as they can; the secrets are written below `directory`."""
    (directory / "key").write_text(f"{key}\n")
    (directory / "password").write_text(f"password of {machine}\n")
    usual = {"mode": Mode.ENFORCE, "every_s": 0.05, "bouncer_key_file": str(directory / "key")}
    push = {"push": True, "machine": machine, "password_file": str(directory / "password")} if machine else {}
    return CrowdsecSettings(url=url, **{**usual, **push, **more})  # type: ignore[arg-type]


class Forwarder:
    """Forwards connections to a port of this machine, and closes them without the answer while `swallows`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.swallows = False
        self.swallowed = 0
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)  # this ends `accept` in the other thread
        self._listener.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError):
                    self._forward(client)

    def _forward(self, client: socket.socket) -> None:
        request = client.recv(65536).replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1)
        answer = b""
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            server.sendall(request)
            while chunk := server.recv(65536):
                answer += chunk
        if self.swallows and b"/stream" in request:
            self.swallowed += 1
        else:
            client.sendall(answer)


@contextlib.contextmanager
def answering(*answers: bytes, stays_open: bool = False) -> Iterator[str]:
    """Yield the URL of a server that answers each connection with the next of these bytes, the last one for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    waiting = list(answers)
    opened: list[socket.socket] = []

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                opened.append(client)
                with contextlib.suppress(OSError):
                    client.recv(65536)
                    client.sendall(waiting[0])
                    if not stays_open:
                        client.close()
                if len(waiting) > 1:
                    del waiting[0]

    threading.Thread(target=run, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # this ends `accept` in the other thread
        listener.close()
        for one in opened:
            one.close()


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return an answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
