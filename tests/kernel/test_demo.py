"""The demo is what newcomers see first: it must work."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.kernel
def test_the_demo_tells_its_story_and_leaves_nothing() -> None:
    """It ends with 0 only if all happened: scan logged, source shunned, neighbour served; then it is gone."""
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    story = (
        "scan starts",
        "first packet that counted",
        "threshold crossed",
        "in force",
        "is in the kernel's set",
        "new connections of the attacker fail",
    )
    places = [told.index(words) for words in story]
    assert places == sorted(places)
    assert "OK    no ban overlaps the allowlist" in told
    assert "nodewarden_set_dropped_packets_total" in told
    assert not list(Path("/run/netns").glob("nw-demo-*"))
