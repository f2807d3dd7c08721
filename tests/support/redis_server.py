"""A real redis-server of a test: on a socket of its own, with nothing on disk, ended with the test."""

import socket
import subprocess
import time
from pathlib import Path
from typing import Self


class RedisServer:
    """Runs while the block does; `arguments` as redis-server takes them."""

    def __init__(self, directory: Path, *arguments: str, port: int = 0) -> None:
        """`port`: of loopback, in addition to the socket; 0: none."""
        self.directory, self.port = directory, port
        self.path = directory / "redis.sock"
        self._arguments = arguments
        self.leading: list[str] = []
        """What comes before all options: a file of settings."""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.kill()

    @property
    def url(self) -> str:
        """The URL of its socket."""
        return f"unix://{self.path}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {"port": str(self.port), "bind": "127.0.0.1", "unixsocket": str(self.path), "save": "",
                    "dir": str(self.directory), "daemonize": "no", "loglevel": "warning"}  # fmt: skip
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        log = (self.directory / "redis.log").open("ab")
        command = ["redis-server", *self.leading, *options, *self._arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        while not self._answers():
            assert self._process.poll() is None, (self.directory / "redis.log").read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once; it remembers nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cli(self, *words: str | bytes, user: str = "", password: str = "") -> str:
        """Run one command and return the answer, an error included."""
        who = ["--user", user, "--pass", password, "--no-auth-warning"] if user else []
        command = ["redis-cli", "-s", self.path, *who, *words]
        done = subprocess.run(command, capture_output=True, timeout=30)
        return (done.stdout + done.stderr).decode("utf-8", "replace").strip()

    def feed(self, *commands: list[bytes]) -> list[bytes]:
        """Send many commands at once; return the refusals."""
        text = b"".join(
            b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
            for words in (*commands, [b"ECHO", b"end of it"])
        )
        answers = b""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(self.path))
            client.sendall(text)
            while not answers.endswith(b"end of it\r\n"):
                answers += client.recv(1 << 16)
        return [line for line in answers.splitlines() if line.startswith(b"-")]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.path))
                client.sendall(b"PING\r\n")
                return client.recv(64)[:1] in (b"+", b"-")
            except OSError:
                return False


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        port: int = attempt.getsockname()[1]
        return port
