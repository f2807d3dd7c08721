"""Checks bans during faults: the list of bans, the kernel's sets, and packets of a banned source that got through."""

import ipaddress
import random
import re
import subprocess
from collections import Counter
from types import TracebackType
from typing import Any, Self

import msgspec

from tests.support.daemon import wait_for
from tests.support.node import Node

_BANS = 200
_BANTIME = "30m"  # shorter than the jumps of the clock
_PACKETS_PER_S = 500
# Before nodewarden's first chain, and after all that drops there: raw is -300, its chain is at raw - 10.
_COUNTERS = """
table inet siege {{
    counter arrived {{ }}
    counter passed {{ }}
    chain before {{ type filter hook prerouting priority -400; ip saddr {address} counter name arrived; }}
    chain behind {{ type filter hook prerouting priority -299; ip saddr {address} counter name passed; }}
}}
"""


class Losses(msgspec.Struct, frozen=True):
    """Lost bans, duplicate bans, and packets of a banned source that passed; all must be 0."""

    lost: int
    doubled: int
    passed: int


class Siege:
    """A banned attacker that sends packets continuously, and many other bans, for the duration of a `with` block."""

    def __init__(self, node: Node, seed: int) -> None:
        """`seed` selects the other banned addresses."""
        self._node = node
        numbers = random.Random(seed).sample(range(1 << 16), _BANS - 1)
        self.banned = {str(ipaddress.ip_address("198.18.0.0") + number) for number in numbers} | {
            node.attacker.address4
        }
        self._sender: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Add the bans, start counting, and let the attacker send."""
        self._node.look("nodewarden", "import", "-", "--for", _BANTIME, input_text="\n".join(sorted(self.banned)))
        self.count()
        self._node.when_off = self.count
        address = self._node.host.address4
        self._sender = self._node.attacker.start(
            "hping3", "--quiet", "--udp", "--destport", "9", "--interval", f"u{1_000_000 // _PACKETS_PER_S}", address
        )
        self.await_packets()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sending, and lift the bans."""
        self._node.when_off = lambda: None
        self._node.attacker.stop_all()
        self._node.host.run("nft", "delete", "table", "inet", "siege", check=False)
        self._node.look("nodewarden", "unban", *sorted(self.banned), check=False)

    def count(self) -> None:
        """Start counting the attacker's packets from zero."""
        self._node.host.run("nft", "delete", "table", "inet", "siege", check=False)
        self._node.host.nft(_COUNTERS.format(address=self._node.attacker.address4))

    def await_packets(self) -> None:
        """Wait until more of the attacker's packets have arrived: without packets the check would be meaningless."""
        before = self._packets("arrived")
        wait_for(lambda: self._packets("arrived") > before + 20, "the attacker's packets", timeout_s=20)

    def losses(self) -> Losses:
        """Compare the bans with those that should exist."""
        self.await_packets()
        listed = Counter(self._node.banned())
        held = Counter(self._held())
        lost = sum(not listed[address] or not held[address] for address in self.banned)
        doubled = sum(count > 1 for count in (*listed.values(), *held.values()))
        return Losses(lost, doubled, self._packets("passed"))

    def _held(self) -> list[str]:
        text = self._node.host.run("nft", "list", "table", "inet", "nodewarden", check=False).stdout
        return re.findall(r"\b([\d.]+)(?: counter packets \d+ bytes \d+)? timeout ", text)

    def _packets(self, name: str) -> int:
        command = ("nft", "--json", "list", "counter", "inet", "siege", name)
        done = self._node.host.run(*command, check=False)
        if done.returncode:
            return 0
        listed: list[dict[str, Any]] = msgspec.json.decode(done.stdout)["nftables"]
        return sum(one["counter"]["packets"] for one in listed if "counter" in one)
