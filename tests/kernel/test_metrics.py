"""What the real daemon serves at /metrics, with nothing switched off."""

import json
import re
import subprocess

import pytest

from monitor.daemon.catalogue import METRICS
from tests.kernel.conftest import Site
from tests.support.daemon import wait_for
from tests.support.everything import everything_on
from tests.support.firewall import counting_only
from tests.unit.rules import support

pytestmark = pytest.mark.kernel

_MOST_BYTES = 200_000
_OF_OTHERS = (
    "nodewarden_fleet_",
    "nodewarden_crowdsec_",
    "nodewarden_list_",
    "nodewarden_notify_",
    "nodewarden_audit_findings",
)
"""Metrics of what this node has not: a fleet, CrowdSec's LAPI, block lists, a channel of notifications, an audit."""


def test_the_metrics_are_clean_and_complete(site: Site) -> None:
    """promtool has nothing against them, all of the catalogue's and all that rules ask for are there, in 200 kB."""
    log = site.daemon.log_path.with_name("application.log")
    log.touch()
    sources = counting_only(site.prefix).replace("sources: {", "sources: {drops: {pods: 5}, ")
    site.daemon.configure(sources + everything_on(log) + "log: {format: json}\n")
    site.daemon.start()
    up = "XDP drops on eth0"
    wait_for(lambda: up in site.daemon.log, up, lambda: site.daemon.log, 20)
    site.scan()
    wait_for(site.banned, "a ban", lambda: site.daemon.log)
    dropped = "nodewarden_kernel_dropped_packets_total"
    wait_for(lambda: any(name.startswith(dropped) for name in site.daemon.metrics()), dropped, lambda: site.daemon.log)
    text = site.node.run("curl", "-sf", "http://127.0.0.1:9843/metrics").stdout
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    served = set(re.findall(r"^(\w+?)(?:_bucket|_sum|_count)?[{ ]", text, re.MULTILINE))
    here = {metric.name for metric in METRICS if not metric.name.startswith(_OF_OTHERS)}
    assert here - served == set()
    measured = r"(?<![\w:])nodewarden_\w+\b(?!:)"  # not what rules record
    asked = {name for rule in support.rules() for name in re.findall(measured, rule["expr"])}
    needed = {re.sub("_(?:bucket|sum|count)$", "", name) for name in asked if not name.startswith(_OF_OTHERS)}
    assert needed - served == set()
    assert len(text) < _MOST_BYTES
    _names_the_offender(site)


def _names_the_offender(site: Site) -> None:
    """The log, one JSON object a line, and exemplars in OpenMetrics name the attacker and what was attacked."""
    attacker, node = site.attacker.address4, site.node.address4
    accept = "Accept: application/openmetrics-text;version=1.0.0"
    openmetrics = site.node.run("curl", "-sf", "-H", accept, "http://127.0.0.1:9843/metrics").stdout
    assert re.search(
        rf'^nodewarden_decisions_total{{.*# {{network="{attacker}",service="tcp/\d+"}} 1', openmetrics, re.MULTILINE
    )
    lines = [json.loads(line) for line in site.daemon.log.splitlines()]
    assert all({"time", "level", "message"} <= set(line) for line in lines)
    bans = [line for line in lines if line.get("verdict") == "ban" and line["network"] == attacker]
    assert bans
    assert {line["destination"] for line in bans} == {node}
    assert all(re.fullmatch(r"tcp/\d+", line["service"]) and line["node"] and line["ends"] for line in bans)
