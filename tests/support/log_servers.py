"""Debian's Alertmanager and rsyslog, each a process of a test with files of its own."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.needs import needs
from tests.support.redis_server import free_port

_TIMEOUT_S = 30.0


class Server:
    """A program that runs while the block does."""

    def __init__(self, directory: Path, command: Sequence[str], is_up: Callable[[], bool]) -> None:
        """Nothing runs yet."""
        self._log = directory / "server.log"
        self._command, self._is_up = command, is_up
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._is_up, self._log)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def wait_until(condition: Callable[[], bool], log: Path | None = None) -> None:
    """Wait until a condition holds; the test fails if it does not within 30 s."""
    until_s = time.monotonic() + _TIMEOUT_S
    while not condition():
        assert time.monotonic() < until_s, log.read_text() if log else "it did not happen"
        time.sleep(0.05)


class Alertmanager(Server):
    """An Alertmanager alone, which sends nothing anywhere."""

    def __init__(self, directory: Path) -> None:
        needs("prometheus-alertmanager")
        directory.mkdir()
        self.url = f"http://127.0.0.1:{free_port()}"
        configuration = directory / "alertmanager.yml"
        configuration.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
        command = ["prometheus-alertmanager", f"--config.file={configuration}", f"--storage.path={directory}/data",
                   f"--web.listen-address={self.url.removeprefix('http://')}", "--cluster.listen-address="]  # fmt: skip
        super().__init__(directory, command, self._is_ready)

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are active."""
        found: list[dict[str, Any]] = json.loads(self._get("/api/v2/alerts"))
        return found

    def _is_ready(self) -> bool:
        try:
            return self._get("/-/ready") != b""
        except OSError:
            return False

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            content: bytes = answer.read()
            return content


_RSYSLOG = """
global(workDirectory="%(directory)s" defaultNetstreamDriverCAFile="%(certificate)s"
       defaultNetstreamDriverCertFile="%(certificate)s" defaultNetstreamDriverKeyFile="%(certificate)s.key"
       maxMessageSize="16k")
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
module(load="imtcp")
template(name="parsed" type="list" option.jsonf="on") {
  property(outname="input" name="inputname" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="kind" name="msgid" format="jsonf")
  property(outname="severity" name="syslogseverity-text" format="jsonf")
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="fields" name="structured-data" format="jsonf")
  property(outname="text" name="msg" format="jsonf")
}
ruleset(name="keep") { action(type="omfile" file="%(output)s" template="parsed" asyncWriting="off") }
input(type="imuxsock" Socket="%(socket)s" UseSpecialParser="off" ParseHostname="on" ruleset="keep"
      RateLimit.Interval="0")
input(type="imudp" address="127.0.0.1" port="%(udp)d" ruleset="keep" name="udp")
input(type="imtcp" address="127.0.0.1" port="%(tcp)d" ruleset="keep" name="tcp")
input(type="imtcp" address="127.0.0.1" port="%(tls)d" ruleset="keep" name="tls" streamDriver.name="ossl"
      streamDriver.mode="1" streamDriver.authMode="anon")
"""


class Rsyslog(Server):
    """An rsyslog that parses what it gets over a socket, UDP, TCP and TLS, and writes it as JSON."""

    def __init__(self, directory: Path, certificate: Path) -> None:
        needs("rsyslogd")
        directory.mkdir()
        self.socket = directory / "log"
        self.udp, self.tcp, self.tls = free_port(), free_port(), free_port()
        self._output = directory / "records"
        configuration = directory / "rsyslog.conf"
        configuration.write_text(_RSYSLOG % {"directory": directory, "certificate": certificate, "output": self._output,
                                             "socket": self.socket, "udp": self.udp, "tcp": self.tcp,
                                             "tls": self.tls})  # fmt: skip
        command = ["rsyslogd", "-n", "-f", str(configuration), "-i", str(directory / "pid")]
        super().__init__(directory, command, self._listens)

    def _listens(self) -> bool:
        for port in (self.tcp, self.tls):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=10).close()
            except OSError:
                return False
        return self.socket.exists()

    def records(self) -> list[dict[str, str]]:
        """Return the records that it wrote."""
        if not self._output.exists():
            return []
        return [json.loads(line) for line in self._output.read_text().splitlines()]
