"""`make observe` as people run it: an address for Grafana that answers, and nothing left behind."""

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel

_COMMAND = (sys.executable, "-m", "demo.observe", "--minutes", "0.2", "--port", "0")


def _guards(address: str) -> int:
    """Ask how many guards are up, from outside of the lab."""
    query = urllib.parse.urlencode({"query": "sum(up)"})
    with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=5) as response:
        found = json.load(response)["data"]["result"]
    return int(found[0]["value"][1]) if found else 0


def test_a_grafana_outside_of_the_lab_finds_both_nodes() -> None:
    """It names an address of the loopback where Prometheus tells of two guards; it ends well, and the lab is gone."""
    with subprocess.Popen(_COMMAND, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as running:
        try:
            assert running.stdout
            address = next(line.split()[1] for line in running.stdout if line.startswith("Prometheus: "))
            wait_for(lambda: _guards(address) == 2, "two guards", timeout_s=15)
            rest = running.stdout.read()
            assert running.wait(30) == 0, rest
        finally:
            running.terminate()
    assert "2 of 2 daemons are up" in rest
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert f"nw-edges-{running.pid}-" not in namespaces
