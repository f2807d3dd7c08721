"""`make fleet`: ten nodes share their bans over a redis-server, and survive what can happen to them.

Ten network namespaces with the real daemon each, and a real redis-server with a user for each node, on one switch: an
attack on one node is banned on all; a pardon lifts it everywhere; a node is cut off and comes back; the server is
killed and comes back empty; a node that was taken over tries to have our own addresses banned. The timeline is for
people, and each line with OK is checked; the exit code is 0 only if all happened.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from demo.story import Story
from tests.support.daemon import wait_for
from tests.support.fleet_attack import TakenOver
from tests.support.fleet_site import ALLOWED, FleetSite, Member

_NODES = 10
_FAILURES = 5
_OFFENDER, _GUESSER, _ELSEWHERE, _LOCAL, _MEANWHILE, _LAST = (f"198.51.100.{one}" for one in (7, 8, 21, 22, 23, 24))
_INNOCENT = tuple(f"198.51.100.{number}" for number in range(101, 104))
_FLOOD = 300


def main() -> int:
    """Run the story; exit code 0 only if all expectations were met."""
    parser = argparse.ArgumentParser(prog="make fleet", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the lab running until Ctrl-C")
    parser.add_argument("--nodes", type=int, default=_NODES, choices=range(3, 31), metavar="3..30")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("this creates network namespaces: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab is removed as well
    with (
        tempfile.TemporaryDirectory(prefix="nodewarden-fleet-") as directory,
        FleetSite(Path(directory), options.nodes, others=("attacker",)) as site,
    ):
        play = Play(site)
        for title, act in play.acts().items():
            print(f"\n{title}", flush=True)
            act()
        if options.keep:
            _keep(site)
    for failure in play.story.failures:
        print(f"failed: {failure}", file=sys.stderr)
    print("the fleet failed" if play.story.failures else "all of it happened; the lab is removed")
    return 1 if play.story.failures else 0


class Play:
    """The acts, in their order."""

    def __init__(self, site: FleetSite) -> None:
        """Take a lab in which no daemon runs yet."""
        self.story = Story()
        self._site = site
        self._first, self._last = site.members[0], site.members[-1]

    def acts(self) -> dict[str, Callable[[], None]]:
        """Return the acts by their titles."""
        return {
            "The fleet assembles": self.assemble,
            "An attack on one node is banned on all": self.attack,
            "A pardon lifts the ban everywhere": self.pardon,
            "A node loses the server, bans on its own, and catches up": self.partition,
            "The server is killed and comes back empty: the nodes fill it again": self.wipe,
            "A node is taken over, and claims that our own addresses attacked it": self.poison,
            "How it ends": self.sum_up,
        }

    def assemble(self) -> None:
        """Start the daemons of all nodes."""
        site, story = self._site, self.story
        story.report(f"redis-server at {site.server.address}: a user for each node, nothing on disk")
        attacker = site.lab["attacker"]
        for address in (_OFFENDER, _GUESSER):
            attacker.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        for one in site.members:
            one.host.run("ip", "route", "add", "198.51.100.0/24", "dev", "eth0")
        site.start_daemons()
        site.wait_until_seen(len(site.members))
        story.report(f"{len(site.members)} nodes run nodewarden, each with the server's URL, a user and a password")
        reached = self._reached(_OFFENDER)
        story.expect(reached == len(site.members), f"the attacker {_OFFENDER} reaches {reached} of {reached} nodes")

    def attack(self) -> None:
        """Attack one node and look at all."""
        story, site = self.story, self._site
        story.report(f"{_OFFENDER} guesses passwords at {self._first.name}: {_FAILURES} failures in the log of sshd")
        self._first.attacked_by(_OFFENDER, failures=_FAILURES)
        took_s = self._try(lambda: site.wait_until_all_hold(_OFFENDER, timeout_s=15))
        events = {one.name: self._ban_event(one, _OFFENDER)["time_s"] for one in site.members}
        decided_s = events[self._first.name]
        for name, time_s in sorted(events.items(), key=lambda event: event[1]):
            story.report(f"{name}: banned {(time_s - decided_s) * 1e3:.1f} ms after the decision", time_s)
        story.expect(took_s is not None, f"{_OFFENDER} is in the kernel of all {len(events)} nodes")
        story.expect(self._reached(_OFFENDER) == 0, "the attacker reaches none of the nodes any more")
        print(f"\n$ nodewarden why {_OFFENDER}      # on {self._last.name}")
        print(self._last.daemon.run("why", _OFFENDER).stdout.rstrip())

    def pardon(self) -> None:
        """Pardon the attacker from another node."""
        story = self.story
        done = self._site.members[1].daemon.run("unban", "--fleet", _OFFENDER)
        story.report(f"$ nodewarden unban --fleet {_OFFENDER}      # on {self._site.members[1].name}")
        story.expect(done.returncode == 0, f"the command succeeds: {(done.stdout + done.stderr).strip()}")
        took_s = self._try(lambda: self._site.wait_until_none_holds(_OFFENDER, timeout_s=15))
        story.expect(took_s is not None, f"no kernel has it any more, {_ms(took_s)} later")
        story.expect(self._reached(_OFFENDER) == len(self._site.members), "it reaches all nodes again")

    def partition(self) -> None:
        """Cut one node off, and heal."""
        story, site = self.story, self._site
        self._first.attacked_by(_GUESSER, failures=_FAILURES)
        self._all_hold(_GUESSER)
        site.cut_off(self._last)
        story.report(f"{self._last.name} is cut off from the server: its packets vanish")
        self._first.attacked_by(_ELSEWHERE, failures=_FAILURES)
        self._last.attacked_by(_LOCAL, failures=_FAILURES)
        others = site.members[:-1]
        took_s = self._try(lambda: site.wait_until_all_hold(_ELSEWHERE, members=others, timeout_s=15))
        story.expect(took_s is not None, f"the others share {_ELSEWHERE} {_ms(took_s)} after the failures")
        took_s = self._try(lambda: site.wait_until_all_hold(_LOCAL, _GUESSER, members=[self._last], timeout_s=15))
        story.expect(took_s is not None, f"{self._last.name} bans {_LOCAL} on its own, and keeps what it had")
        story.expect(not self._last.holds(_ELSEWHERE), f"{self._last.name} cannot know of {_ELSEWHERE} yet")
        said = self._try(lambda: self._until(lambda: "server" in self._last.daemon.run("status").stdout, 30))
        story.expect(said is not None, f"{self._last.name} says in `nodewarden status` that it has no server")
        site.heal()
        story.report("the packets pass again")
        self._all_hold(_ELSEWHERE, _LOCAL, _GUESSER)

    def wipe(self) -> None:
        """Kill the server, ban meanwhile, start it."""
        story, site = self.story, self._site
        site.server.kill()
        story.report("redis-server is killed; it had nothing on disk")
        self._first.attacked_by(_MEANWHILE, failures=_FAILURES)
        self._last.attacked_by(_LAST, failures=_FAILURES)
        time.sleep(3.0)
        story.expect(self._first.holds(_MEANWHILE, _ELSEWHERE, _LOCAL), "meanwhile bans stay, and new ones are added")
        site.server.start()
        story.report("redis-server is there again, and empty")
        self._all_hold(_MEANWHILE, _LAST, _ELSEWHERE, _LOCAL, _GUESSER, timeout_s=20)

    def poison(self) -> None:
        """Publish lies with the password of one node."""
        story, site = self.story, self._site
        culprit, others = self._last, site.members[:-1]
        culprit.daemon.stop()
        with TakenOver(site, culprit) as attacker:
            for command in attacker.forbidden():
                story.expect(attacker.is_refused(*command), f"the server refuses it `{' '.join(command[:2])}`")
            attacker.ban(*ALLOWED[:3])
            story.report(f"{culprit.name} claims {', '.join(ALLOWED[:3])}, which all others have on their allowlist")
            tripped = self._try(lambda: self._until(lambda: all(site.has_tripped(one, culprit) for one in others), 20))
            story.expect(tripped is not None, f"the breaker of {len(others)} nodes tripped {_ms(tripped)} later")
            attacker.ban(*_INNOCENT, *(f"198.18.{number >> 8}.{number & 255}" for number in range(_FLOOD)))
            story.report(f"and floods {_FLOOD + len(_INNOCENT)} bans")
            time.sleep(3.0)
        banned = [one.name for one in others if one.holds(*ALLOWED[:1]) or any(one.holds(each) for each in _INNOCENT)]
        story.expect(not banned, f"nobody banned any of it{': ' if banned else ''}{', '.join(banned)}")
        story.expect(not any(one.holds(_LAST) for one in others), f"what {culprit.name} had banned before is let go")
        story.expect(all(one.holds(_GUESSER, _ELSEWHERE, _MEANWHILE) for one in others), "bans of the others stay")
        text = self._first.daemon.run("status").stdout
        story.expect(culprit.name in text, f"`nodewarden status` names {culprit.name}")

    def sum_up(self) -> None:
        """Print how the first node sees the fleet."""
        print("$ nodewarden fleet status")
        print(self._first.daemon.run("fleet", "status").stdout.rstrip())
        held = [len(one.kernel()) for one in self._site.members[:-1]]
        self.story.expect(len(set(held)) == 1, f"all nodes hold the same number of bans: {held[0]}")

    def _all_hold(self, *addresses: str, timeout_s: float = 15) -> None:
        took_s = self._try(lambda: self._site.wait_until_all_hold(*addresses, timeout_s=timeout_s))
        what = addresses[0] if len(addresses) == 1 else f"all of {', '.join(addresses)}"
        self.story.expect(
            took_s is not None, f"{what} in the kernel of all {len(self._site.members)} nodes, {_ms(took_s)} later"
        )

    def _try(self, wait: Callable[[], float]) -> float | None:
        """Return how long it took; None, with the reason in the timeline, if it did not happen."""
        try:
            return wait()
        except RuntimeError as error:
            self.story.report(str(error))
            return None

    def _until(self, condition: Callable[[], bool], timeout_s: float) -> float:
        start_s = time.monotonic()
        wait_for(condition, "it", timeout_s=timeout_s)
        return time.monotonic() - start_s

    def _reached(self, source: str) -> int:
        """Return how many nodes answer a ping from this address of the attacker."""
        attacker, nodes = self._site.lab["attacker"], [one.host.address4 for one in self._site.members]
        with ThreadPoolExecutor(len(nodes)) as pool:
            pings = pool.map(
                lambda node: attacker.run("ping", "-qc", "1", "-W", "1", "-I", source, node, check=False), nodes
            )
            return sum(ping.returncode == 0 for ping in pings)

    def _ban_event(self, member: Member, address: str) -> dict[str, Any]:
        """Return a node's event of a ban."""
        events = map(json.loads, member.daemon.run("events", "--json").stdout.splitlines())
        return next(event for event in events if event["event"] == "ban" and event["network"] == address)


def _ms(took_s: float | None) -> str:
    return "too much time" if took_s is None else f"{took_s * 1e3:.0f} ms"


def _keep(site: FleetSite) -> None:
    """Keep the lab running until Ctrl-C, and print commands to try."""
    first, second = site.members[:2]
    print("\nThe lab runs until you press Ctrl-C. Try in another terminal:")
    for text in (
        first.daemon.command("fleet", "status"),
        second.daemon.command("list"),
        first.daemon.command("ban", "--fleet", "198.51.100.99"),
        f"ip netns exec {first.host.namespace} nft list table inet nodewarden",
        f"tail -f {second.daemon.log_path}",
    ):
        print(f"  {text}")
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
