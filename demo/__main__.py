"""Runs an attack against a node, prints a timeline, and checks each expected event.

What the daemon saw and when, its event stream says (`nodewarden events --json`); the demo reads no log and compares no
clocks. What the kernel holds, nft says.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from demo.stage import SECOND_ADDRESS, SWEPT, Stage, visiting
from demo.story import Story
from monitor.model.addresses import parse_address, parse_network
from tests.support.daemon import wait_for

_EVENT_S = 30.0


def main() -> int:
    """Run the demo; exit code 0 only if all expectations were met."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the lab running until Ctrl-C")
    keep = parser.parse_args().keep
    if os.geteuid() != 0:
        print("the demo creates network namespaces: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab is removed as well
    with tempfile.TemporaryDirectory(prefix="nodewarden-demo-") as directory, Stage(Path(directory)) as stage:
        story = Story()
        _play(stage, story)
        if keep:
            _keep(stage)
    for failure in story.failures:
        print(f"failed: {failure}", file=sys.stderr)
    print("the demo failed" if story.failures else "the demo succeeded; the lab is removed")
    return 1 if story.failures else 0


def _play(stage: Stage, story: Story) -> None:
    node, attacker, neighbour = stage.node, stage.attacker, stage.neighbour
    story.report(f"node {node.address4} runs nodewarden and a web server behind a firewall that logs dropped packets")
    before = stage.daemon.metrics()
    story.expect(stage.fetch(attacker), f"attacker {attacker.address4} can fetch the page")
    with visiting(stage, neighbour) as visitor:
        story.report(f"neighbour {neighbour.address4} fetches the page repeatedly")
        _attack(stage, story, attacker.address4, ["--top-ports", "100", node.address4])
        story.expect(
            not stage.fetch(attacker), "new connections of the attacker fail, including those to the open port"
        )
        _attack(stage, story, SECOND_ADDRESS, ["-p", "22", "-S", SECOND_ADDRESS, "-e", "eth0", *SWEPT])
    story.expect(
        visitor.failed == 0 and visitor.succeeded > 5,
        f"all fetches of the neighbour succeeded ({visitor.succeeded} of {visitor.succeeded + visitor.failed})",
    )
    _check_bans(stage, story)
    print("\n$ nodewarden status")
    print(stage.daemon.run("status").stdout)
    print(f"$ nodewarden why {attacker.address4}")
    print(stage.daemon.run("why", attacker.address4).stdout)
    print("changed metrics:")
    for series, value in stage.daemon.metrics().items():
        if series.startswith("nodewarden_") and "_bucket" not in series and value != before.get(series, 0.0):
            print(f"  {series} {before.get(series, 0.0):g} -> {value:g}")


def _attack(stage: Stage, story: Story, source: str, scan: list[str]) -> None:
    """Run one nmap scan and report what the daemon made of it."""
    command = ["nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", *scan]
    story.report(f"scan starts from {source}: {' '.join(command[:12])}{' ...' if len(command) > 12 else ''}")
    stage.attacker.run(*command)
    event = f"a ban of {source} in the event stream"
    wait_for(lambda: stage.ban_event(source), event, lambda: stage.daemon.log, _EVENT_S)
    ban = stage.ban_event(source) or {}
    story.report(f"first packet that counted; the firewall logged {ban['counted']} of them", ban["first_s"])
    story.report(f"threshold crossed: {ban['reason']} ({ban['detector']}): {', '.join(ban['sample'])}", ban["last_s"])
    story.report(f"{ban['set']} of {source} in force", ban["time_s"])
    story.expect(stage.is_in_kernel(source, ban["set"]), f"{source} is in the kernel's set {ban['set']}4")


def _check_bans(stage: Stage, story: Story) -> None:
    """Check that the attacker is banned, and nothing else."""
    banned = [parse_network(ban["network"]) for ban in stage.daemon.ask("list")]
    allowed = [parse_network(entry["network"]) for entry in stage.daemon.ask("allow", "list")]
    expected = {stage.attacker.address4, SECOND_ADDRESS}
    story.expect({str(network) for network in banned} == expected, f"only {' and '.join(sorted(expected))} are banned")
    hit = [entry for entry in allowed if any(entry.overlaps(network) for network in banned)]
    story.expect(not hit, f"no ban overlaps the allowlist ({len(allowed)} networks)")
    untouched = not any(network.contains(parse_address(stage.neighbour.address4)) for network in banned)
    story.expect(untouched, "the neighbour is not banned")


def _keep(stage: Stage) -> None:
    """Keep the lab running until Ctrl-C, and print commands to try."""
    print("\nThe lab runs until you press Ctrl-C. Try in another terminal:")
    for text in (
        stage.daemon.command("list"),
        f"ip netns exec {stage.node.namespace} nft list table inet nodewarden",
        f"ip netns exec {stage.node.namespace} curl -s http://127.0.0.1:9843/metrics",
        f"ip netns exec {stage.attacker.namespace} curl --max-time 2 http://{stage.node.address4}/",
        f"ip netns exec {stage.neighbour.namespace} nmap -n -Pn -sS -T5 --top-ports 50 {stage.node.address4}",
        f"tail -f {stage.daemon.log_path}",
    ):
        print(f"  {text}")
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
