"""Runs an attack against a node, prints a timeline, and checks each expected event."""

import argparse
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo.stage import PREFIX, SECOND_ADDRESS, SWEPT, SetWatcher, Stage, visiting
from monitor.model.addresses import format_address, parse_address, parse_network
from monitor.model.events import PacketLogged
from monitor.sources.kmsg.reader import KernelLog
from tests.support.daemon import wait_for


class Story:
    """Prints the timeline and collects failed expectations."""

    def __init__(self) -> None:
        """Start now."""
        self._start_s = time.time()
        self.failures: list[str] = []

    def report(self, text: str, at_s: float | None = None) -> None:
        """Print one line of the timeline, at a moment of wall time or now."""
        offset_s = (time.time() if at_s is None else at_s) - self._start_s
        print(f"{offset_s:8.3f} s  {text}", flush=True)

    def expect(self, holds: bool, text: str) -> None:  # noqa: FBT001
        """Print an expectation and whether it was met."""
        self.report(f"{'OK   ' if holds else 'FAIL '} {text}")
        if not holds:
            self.failures.append(text)


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
    watcher = SetWatcher(node)
    story.expect(stage.fetch(attacker), f"attacker {attacker.address4} can fetch the page")
    with visiting(stage, neighbour) as visitor:
        story.report(f"neighbour {neighbour.address4} fetches the page repeatedly")
        _attack(stage, story, watcher, attacker.address4, ["--top-ports", "100", node.address4])
        story.expect(
            not stage.fetch(attacker), "new connections of the attacker fail, including those to the open port"
        )
        _attack(stage, story, watcher, SECOND_ADDRESS, ["-p", "22", "-S", SECOND_ADDRESS, "-e", "eth0", *SWEPT])
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


def _attack(stage: Stage, story: Story, watcher: SetWatcher, source: str, scan: list[str]) -> None:
    """Run one nmap scan and report what the kernel logged and when the source entered the set."""
    log = KernelLog(prefixes=[PREFIX])
    command = ["nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", *scan]
    story.report(f"scan starts from {source}: {' '.join(command[:12])}{' ...' if len(command) > 12 else ''}")
    scanner = stage.attacker.start(*command)
    drops = [event for event in _logged_until(log, scanner) if format_address(event.source) == source]
    log.close()
    if not drops:
        story.expect(holds=False, text="the firewall logged the scan")
        return
    story.report(f"first logged drop: port {drops[0].destination_port} of {_to(drops[0])}", drops[0].time_s)
    wait_for(lambda: watcher.when(source), f"{source} to enter a set", lambda: stage.daemon.log)
    shunned_s = watcher.when(source) or 0.0
    ban = stage.daemon.ask("why", source)["bans"][0]
    story.report(f"threshold crossed: {ban['reason']} ({ban['detector']})", ban["since_s"])
    story.report(
        f"shun after {(shunned_s - ban['since_s']) * 1000:.1f} ms: {source} is in the kernel's set; "
        f"{len(drops)} of its packets were logged in total",
        shunned_s,
    )


def _logged_until(log: KernelLog, scanner: subprocess.Popen[str]) -> list[PacketLogged]:
    """Return what is logged while the scanner runs; read as it comes, since only a fresh record dates the others."""
    events = log.read()
    while scanner.poll() is None or not log.is_drained:
        select.select([log], [], [], 0.05)
        events += log.read()
    return events + log.read()


def _to(event: PacketLogged) -> str:
    return format_address(event.destination)


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
