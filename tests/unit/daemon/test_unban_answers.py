"""What `unban` answers: an address may stay banned by a network around it."""

from pathlib import Path

from monitor.control.protocol import BanOrder, RequestedBan, Unban
from monitor.daemon.control.orders import Orders
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.settings.schema import Settings
from monitor.state.saver import Saver
from tests.support.policy import willing_table


def test_what_still_bans_an_address_is_named(tmp_path: Path) -> None:
    """The ban of an address ends, one of its network remains; without such a network nothing is added."""
    orders = Orders(Pipeline(Settings(), (), willing_table), Saver(tmp_path / "nodewarden.db"))
    banned = ["203.0.113.7", "203.0.113.0/24", "198.51.100.7"]
    assert all(one["done"] for one in orders.ban(BanOrder([RequestedBan(network, 600.0) for network in banned])))
    answers = orders.unban(Unban(["203.0.113.7", "198.51.100.7", "203.0.113.8"]))
    assert [(one["done"], one["text"]) for one in answers] == [
        (True, "ban lifted; still banned inside 203.0.113.0/24: unban that"),
        (True, "ban lifted"),
        (False, "not banned itself, but inside 203.0.113.0/24: unban that"),
    ]
