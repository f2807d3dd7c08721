"""What `ban` and `unban` answer: the kind of ban, and that an address may stay banned by a network around it."""

from pathlib import Path
from typing import Literal

import pytest

from monitor.control.protocol import BanOrder, RequestedBan, SetWord, Unban
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


@pytest.mark.parametrize(
    ("word", "said"), [("ban", "banned"), ("shun", "shunned"), ("egress", "banned as a destination")]
)
def test_an_answer_names_the_kind_of_ban(tmp_path: Path, word: SetWord, said: str) -> None:
    """Of a new one, a longer one, and one that is there already."""
    orders = Orders(Pipeline(Settings(), (), willing_table), Saver(tmp_path / "nodewarden.db"))

    def answer(bantime_s: float, origin: Literal["operator", "import"] = "operator") -> str:
        (one,) = orders.ban(BanOrder([RequestedBan("203.0.113.7", bantime_s, set=word)], origin))
        return str(one["text"])

    assert answer(600.0) == said
    assert answer(6000.0) == f"{said} for longer"
    assert answer(60.0, "import") == f"nothing to do: 203.0.113.7 is {said} already, and for as long"
