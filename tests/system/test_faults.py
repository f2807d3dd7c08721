"""Whatever happens to the daemon: no ban is lost, none is there twice, and nothing of a banned source gets through."""

import pytest

from tests.support.faults import FAULTS
from tests.support.node import Node
from tests.support.siege import Losses, Siege

pytestmark = pytest.mark.system


@pytest.mark.parametrize("name", FAULTS)
def test_bans_hold(node: Node, name: str) -> None:
    """Under each fault all bans hold, in the daemon's list and in the kernel, while a banned source sends packets.

    `python -m bench system_bans_lost` does each five times.
    """
    with Siege(node, seed=1) as siege:
        FAULTS[name](node, siege)
        assert siege.losses() == Losses(0, 0, 0), FAULTS[name].__doc__


def test_counting_can_fail(node: Node) -> None:
    """The counts above are real: with the ban of the sender lifted, its packets are seen to pass, and it is missed."""
    with Siege(node, seed=2) as siege:
        node.look("nodewarden", "unban", node.attacker.address4)
        siege.await_packets()
        losses = siege.losses()
    assert losses.lost == 1
    assert losses.passed > 0
