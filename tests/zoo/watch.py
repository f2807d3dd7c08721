"""The daemon of the zoo: default thresholds, every detector enforces; and what it did, by source."""

import ipaddress
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from monitor.detectors import registry
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host

LOGS = (
    *("sshd", "dovecot", "vaultwarden", "nginx-auth", "nginx-scan", "nginx-limit-req", "gitea", "postfix", "grafana"),
    *("named-refused", "openvpn", "pam-generic"),
)
"""Built-in filters with a log each, to which behaviours write."""
_ONLY_OBSERVE = {"outbound_scan"}
"""Reports attempts of clients behind the node, which are not about the node: made to be observed."""
_ACTED = ("ban", "refresh", "claim", "full", "refused", "over_budget")
"""Kinds of events of an alert that led to a ban, or did not only because there were too many."""
_NOTICED = (*_ACTED, "observe", "allowlisted")
_LAB4 = ("10.88.0.0/16", "10.244.0.0/16", "192.168.7.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
_LAB = tuple(map(ipaddress.ip_network, (*_LAB4, "198.18.0.0/15", "fd88::/16", "2001:db8::/32")))


class Verdict(msgspec.Struct, frozen=True):
    """What the daemon made of one behaviour."""

    bans: tuple[str, ...] = ()
    """Each with its detector, what it counted, and when it was not in force, why."""
    observed: tuple[str, ...] = ()


def configuration(logs: Path, allowlist: Iterable[str]) -> str:
    """Return the YAML: all detectors that have a mode enforce, and one reads each of LOGS."""
    detectors: dict[str, Any] = {
        one.name: {"mode": "enforce"}
        for one in registry.REGISTRATIONS
        if hasattr(one.settings, "mode") and one.name not in _ONLY_OBSERVE
    }
    detectors["failures"] = {
        name: {"filter": name, "mode": "enforce", "backend": "files", "files": [str(logs / f"{name}.log")]}
        for name in LOGS
    }
    internal = {"mode": "observe"}  # other labs have it otherwise
    bans = {"internal": internal, "allowlist": list(allowlist), "xdp": {"interfaces": ["eth0"]}}
    return yaml.safe_dump({"detectors": detectors, "bans": bans})


class Watch:
    """The daemon on the node, and its events."""

    def __init__(self, node: Host, directory: Path, allowlist: Iterable[str]) -> None:
        """Write the configuration and empty logs; nothing runs yet."""
        self._node = node
        self.logs = directory / "logs"
        self.logs.mkdir()
        for name in LOGS:
            (self.logs / f"{name}.log").touch()
        self.daemon = Daemon(node, directory, configuration(self.logs, allowlist))
        self._earlier: list[dict[str, Any]] = []

    def start(self) -> None:
        """Start the daemon, and wait until every source of evidence works."""
        self.daemon.start()
        wait_for(lambda: not self.blind_sources(), "all sources", lambda: f"{self.blind_sources()}", 30)

    def restart(self) -> None:
        """Stop the daemon and start it again; earlier events are kept."""
        self._earlier = self.events()
        self.daemon.stop()
        self.start()

    def blind_sources(self) -> dict[str, str]:
        """Return the sources that do not work, with their state; the journal is not used here."""
        states = {one["name"]: one["state"] for one in self.daemon.ask("status")["sources"]}
        return {name: state for name, state in states.items() if state != "up" and name != "journal"}

    def events(self) -> list[dict[str, Any]]:
        """Return all events since the first start."""
        done = self.daemon.run("events", "--json")
        if done.returncode or done.stderr:
            raise RuntimeError(f"`nodewarden events` did not show all events: {done.stderr}")
        return [*self._earlier, *map(json.loads, done.stdout.splitlines())]

    def judge(self, owned: set[str], events: Iterable[dict[str, Any]]) -> Verdict:
        """Return what happened to these addresses."""
        mine = [event for event in events if event["event"] in _NOTICED and _overlaps(event["network"], owned)]
        acted = Counter(_describe(event) for event in mine if event["event"] in _ACTED)
        others = Counter(_describe(event) for event in mine if event["event"] not in _ACTED)
        return Verdict(tuple(_lines(acted)), tuple(_lines(others)))

    def strays(self, owned: set[str], events: Iterable[dict[str, Any]]) -> list[str]:
        """Return bans within the lab's networks that belong to no behaviour."""
        found = [
            f"{event['network']}: {_describe(event)}"
            for event in events
            if event["event"] in _ACTED and not _overlaps(event["network"], owned) and _is_of_lab(event["network"])
        ]
        return sorted(set(found))

    def packets(self) -> dict[str, int]:
        """Return the packets that arrived at the node, by source."""
        listed: dict[str, int] = {}
        for family in "46":
            done = self._node.run("nft", "--json", "list", "set", "inet", "zoo_firewall", f"seen{family}")
            for item in json.loads(done.stdout)["nftables"]:
                for element in item.get("set", {}).get("elem", ()):
                    listed[element["elem"]["val"]] = element["elem"]["counter"]["packets"]
        return listed


def _overlaps(network: str, owned: set[str]) -> bool:
    banned = ipaddress.ip_network(network, strict=False)
    return any(ipaddress.ip_address(address) in banned for address in owned)


def _is_of_lab(network: str) -> bool:
    banned = ipaddress.ip_network(network, strict=False)
    return any(one.version == banned.version and banned.overlaps(one) for one in _LAB)


def _describe(event: dict[str, Any]) -> str:
    kind = "" if event["event"] == "ban" else f"{event['event']} "
    where = f" ({event['set']})" if event.get("set") else ""
    return f"{kind}{event['detector']}{where}: {event.get('reason') or event.get('text') or event.get('counted')}"


def _lines(found: Counter[str]) -> Iterator[str]:
    for text, count in found.items():
        yield f"{text} ({count} times)" if count > 1 else text
