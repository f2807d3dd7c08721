"""A fleet in a lab: nodes with the real daemon each, and the server in a host of its own, all on one switch."""

import contextlib
import secrets
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import redis

from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.fleet.redis.acl import acl_lines, user_name
from monitor.fleet.redis.keys import FleetKeys
from monitor.model.addresses import Network, parse_network
from tests.support.daemon import Daemon, wait_for
from tests.support.fleet_server import FleetServer
from tests.support.lab import Host, Lab

FLEET = "lab"
ALLOWED = tuple(f"192.0.2.{number}" for number in (10, 20, 30, 40))
"""Addresses that every node has on its allowlist: a monitor, a partner, ourselves."""
_FILES = Path("/srv")
"""Where each daemon finds the files of its node, so that all have the same configuration."""
_MAX_BANS = 131_072
_HOLE = """table inet hole {{
    chain in {{ type filter hook input priority -300; {rules} }}
    chain out {{ type filter hook output priority -300; {rules} }}
}}
"""
_CONFIGURATION = """
sources: {{kernel_log: {{enabled: false}}, conntrack: {{enabled: false}}, drops: {{enabled: false}}}}
detectors: {{failures: {{sshd: {{backend: files, files: [/srv/auth.log], evidence: proven, maxretry: {maxretry}}}}}}}
bans:
  allowlist: [{allowed}]
  budget: {{bans_per_minute: 1000000}}
{bans}{fleet}"""
_FLEET = """fleet:
  url: {url}
  name: {name}
  node: {node}
  role: edge
  mode: enforce
  username: {user}
  password_file: /srv/password
  bans_per_minute: {per_minute}
"""


class Member:
    """One node of the fleet."""

    def __init__(self, host: Host, directory: Path, password: str) -> None:
        """Nothing runs yet."""
        self.host = host
        self.name = host.name
        self.password = password
        self.user = user_name(FLEET, host.name)
        directory.mkdir(parents=True)
        self.password_path = directory / "password"
        self.password_path.write_text(f"{password}\n")
        self.password_path.chmod(0o600)
        self.directory = directory
        self.log_path = directory / "auth.log"
        self.log_path.touch()
        self.daemon = Daemon(host, directory / "daemon")

    def attacked_by(self, *addresses: str, failures: int = 1) -> float:
        """Write what sshd writes of each failed login; return the time just before (CLOCK_MONOTONIC)."""
        stamp = time.strftime("%b %e %H:%M:%S")
        begin = f"{stamp} {self.name} sshd"
        lines = [
            f"{begin}[{4000 + number}]: Failed password for root from {address} port {40_000 + number} ssh2\n"
            for address in addresses
            for number in range(failures)
        ]
        start_s = time.monotonic()
        with self.log_path.open("a") as file:
            file.write("".join(lines))
        return start_s

    def kernel(self) -> set[Network]:
        """Return what the kernel's sets of bans and shuns hold."""
        with self.host.entered(), contextlib.closing(NftablesEnforcer(max_bans=_MAX_BANS)) as enforcer:
            return {element.network for element in enforcer.elements()}

    def holds(self, *addresses: str) -> bool:
        """Whether all of these are in the kernel's sets."""
        return {parse_network(address) for address in addresses} <= self.kernel()


class FleetSite:
    """The lab with everything in it; a context manager. Needs root."""

    def __init__(
        self,
        directory: Path,
        nodes: int,
        *,
        maxretry: int = 5,
        per_minute: int = 60,
        others: Sequence[str] = (),
        bans: str = "",
    ) -> None:
        """`bans`: more settings of that section; `others`: hosts without a daemon. Nothing runs yet."""
        names = [f"node-{number}" for number in range(1, nodes + 1)]
        self.lab = Lab(*names, "memory", *others, label="fleet")
        self._directory = directory
        self._maxretry = maxretry
        self._per_minute = per_minute
        self._bans = bans
        self._stack = contextlib.ExitStack()
        self.members = [Member(self.lab[name], directory / name, secrets.token_hex(16)) for name in names]
        self.admin_password = secrets.token_hex(16)
        self.server = FleetServer(directory / "memory", self.lab["memory"], acl=self._acl())

    def _acl(self) -> list[str]:
        """Return the users of the server, as `nodewarden fleet init` makes them."""
        return list(acl_lines(FLEET, {one.name: one.password for one in self.members}, self.admin_password))

    def __enter__(self) -> Self:
        """Build the lab and start the server; on failure all of it is removed again."""
        self._stack.enter_context(self.lab)
        try:
            self.server.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything and remove the lab."""
        self._stack.close()

    def configuration(self, member: Member, *, is_member: bool = True, more: str = "") -> str:
        """Return the settings of a node."""
        fleet = _FLEET.format(
            url=self.server.url,
            name=FLEET,
            node=member.name,
            user=member.user,
            per_minute=self._per_minute,
        )
        return _CONFIGURATION.format(
            maxretry=self._maxretry,
            allowed=", ".join(ALLOWED),
            bans=self._bans,
            fleet=(fleet if is_member else "") + more,
        )

    def start_daemons(self, members: Iterable[Member] | None = None) -> None:
        """Start the daemons, several at a time, and wait until all have the server."""
        wanted = self.members if members is None else list(members)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.start, wanted))
        self.wait_until_seen(1, wanted)

    def wait_until_seen(self, alive: int, members: Iterable[Member] | None = None) -> None:
        """Wait until each of the nodes has the server, and sees that many nodes alive: itself, and those it met."""
        for one in self.members if members is None else members:

            def is_so(one: Member = one) -> bool:
                seen = self.sees(one)
                return bool(seen["is_connected"]) and seen["alive"] >= alive

            wait_for(is_so, f"{one.name} in the fleet", lambda one=one: one.daemon.log)  # type: ignore[misc]

    def start(self, member: Member, *, is_member: bool = True) -> None:
        """Start the daemon of one node; it sees the node's files in /srv, as all nodes do."""
        member.daemon.configure(self.configuration(member, is_member=is_member))
        bind = f'mount --bind {member.directory} {_FILES} && exec "$@"'
        member.daemon.start("unshare", "--mount", "sh", "-c", bind, "sh")

    def sees(self, member: Member) -> dict[str, Any]:
        """Return what a node says of the fleet in `status`."""
        fleet: dict[str, Any] = member.daemon.ask("status")["fleet"]
        return fleet

    def remembered(self) -> int:
        """Return how many bans of all nodes the server remembers."""
        one = self.members[0]
        with one.host.entered():
            client: Any = redis.Redis(
                host=self.server.address, port=self.server.port, username=one.user, password=one.password
            )
            with contextlib.closing(client):
                keys = [FleetKeys(FLEET).of(each.name.encode()).bans for each in self.members]
                return sum(int(client.execute_command("HLEN", key)) for key in keys)

    def has_tripped(self, member: Member, culprit: Member) -> bool:
        """Whether a node only observes another one."""
        return culprit.name in self.sees(member)["observed_peers"]

    def cut_off(self, *members: Member) -> None:
        """Drop all packets between the server and some nodes, or all: a black hole, not a refusal."""
        hosts = ", ".join(one.host.address4 for one in members)
        rules = (
            f"ip saddr {{ {hosts} }} drop; ip daddr {{ {hosts} }} drop;"
            if members
            else "iifname != lo oifname != lo drop;"
        )
        self.lab["memory"].nft(_HOLE.format(rules=rules))

    def heal(self) -> None:
        """Let all packets through again."""
        self.lab["memory"].run("nft", "delete", "table", "inet", "hole", check=False)

    def wait_until_all_hold(
        self, *addresses: str, members: Iterable[Member] | None = None, timeout_s: float = 30
    ) -> float:
        """Wait until the kernel of each of the nodes has these; return how long that took, in seconds."""
        start_s, missing = time.monotonic(), list(self.members if members is None else members)

        def is_done() -> bool:
            missing[:] = [one for one in missing if not one.holds(*addresses)]
            return not missing

        wait_for(is_done, f"{len(addresses)} bans", lambda: self._explain(missing), timeout_s)
        return time.monotonic() - start_s

    def wait_until_none_holds(self, *addresses: str, timeout_s: float = 30) -> float:
        """Wait until no kernel has any of these; return how long that took, in seconds."""
        start_s, gone = time.monotonic(), {parse_network(address) for address in addresses}
        wait_for(
            lambda: not any(one.kernel() & gone for one in self.members),
            f"{', '.join(addresses)} to go",
            lambda: self._explain(self.members),
            timeout_s,
        )
        return time.monotonic() - start_s

    def _explain(self, members: Iterable[Member]) -> str:
        parts = (f"--- {one.name}: {len(one.kernel())} bans\n{one.daemon.log[-2000:]}" for one in members)
        return "\n".join([*parts, f"--- redis-server\n{self.server.log[-1000:]}"])
