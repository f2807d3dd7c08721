"""The demo's lab: three hosts, a firewall that logs what it drops, a web page, and the real daemon."""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon, wait_for
from tests.support.firewall import counting_only, logging_firewall
from tests.support.lab import Host, Lab

PREFIX = "nodewarden-demo: "
PAGE = "index.html"
SWEPT = [f"10.88.0.{number}" for number in range(100, 116)]
SECOND_ADDRESS = "10.88.0.22"


class Stage:
    """The lab with everything running; use as a context manager."""

    def __init__(self, directory: Path) -> None:
        """`directory` takes configuration, socket and logs; nothing runs yet."""
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self.lab = Lab("node", "attacker", "neighbour", label="demo")
        self.daemon = Daemon(self.node, directory, counting_only(PREFIX))

    def __enter__(self) -> "Stage":
        """Build the lab, start firewall, web server and daemon; RuntimeError if the daemon does not come up."""
        self._stack.enter_context(self.lab)
        try:
            self._furnish()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything and remove the lab."""
        self._stack.close()

    @property
    def node(self) -> Host:
        """The host with the daemon."""
        return self.lab["node"]

    @property
    def attacker(self) -> Host:
        """The host that scans, from its first address, and sweeps, from its second."""
        return self.lab["attacker"]

    @property
    def neighbour(self) -> Host:
        """The host that only fetches a page."""
        return self.lab["neighbour"]

    def fetch(self, host: Host, timeout_s: float = 1.0) -> bool:
        """Whether this host gets the node's page on a new connection."""
        url = f"http://{self.node.address4}/{PAGE}"
        done = host.run("curl", "-sf", "-o", "/dev/null", "--max-time", str(timeout_s), url, check=False)
        return done.returncode == 0

    def ban_event(self, source: str) -> dict[str, Any] | None:
        """Return the daemon's first event of a ban of an address, with its evidence; None if there is none."""
        events = map(json.loads, self.daemon.run("events", "--json").stdout.splitlines())
        return next((event for event in events if event["event"] == "ban" and event["network"] == source), None)

    def is_in_kernel(self, address: str, ban_set: str) -> bool:
        """Whether an IPv4 address is in a set of the kernel's table."""
        element = ("inet", "nodewarden", f"{ban_set}4", f"{{ {address} }}")
        return self.node.run("nft", "get", "element", *element, check=False).returncode == 0

    def _furnish(self) -> None:
        for address in SWEPT:
            self.node.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        self.attacker.run("ip", "addr", "add", f"{SECOND_ADDRESS}/24", "dev", "eth0")
        self.node.nft(logging_firewall(PREFIX))
        web = self._directory / "web"
        web.mkdir(exist_ok=True)
        (web / PAGE).write_text("all quiet\n")
        self.node.start(sys.executable, "-m", "http.server", "80", "--directory", web)
        self.daemon.start()
        wait_for(lambda: self.fetch(self.neighbour), "the web page")


class Visitor:
    """Fetches the page repeatedly from a host, on a new connection each time."""

    def __init__(self, stage: Stage, host: Host) -> None:
        """Start at once."""
        self.succeeded = 0
        self.failed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._visit, args=(stage, host), daemon=True)
        self._thread.start()

    def _visit(self, stage: Stage, host: Host) -> None:
        while not self._stop.wait(0.1):
            if stage.fetch(host):
                self.succeeded += 1
            else:
                self.failed += 1

    def stop(self) -> None:
        """Stop after the current fetch."""
        self._stop.set()
        self._thread.join()


@contextlib.contextmanager
def visiting(stage: Stage, host: Host) -> Iterator[Visitor]:
    """Let a visitor fetch the page while the block runs."""
    visitor = Visitor(stage, host)
    try:
        yield visitor
    finally:
        visitor.stop()
