"""Known services survive a restart of the daemon, and a reboot."""

from collections.abc import Mapping

import pytest

from monitor.daemon.life.known_services import KnownServices
from monitor.model.addresses import parse_address
from monitor.model.cursors import Cursor
from monitor.model.flows import FlowBatch
from monitor.model.protocols import PROTOCOL_TCP
from monitor.model.services import ANY_ADDRESS, KEPT_S, Service, Services
from tests.support.flows import NODE, handshakes, incomplete

WEB = (ANY_ADDRESS, PROTOCOL_TCP, 80)


class Rows:
    """What the store keeps."""

    def __init__(self) -> None:
        self.cursors: dict[str, Cursor] = {}

    def load_cursors(self) -> Mapping[str, Cursor]:
        """Return all."""
        return self.cursors

    def save_cursor(self, name: str, cursor: Cursor) -> None:
        """Keep one."""
        self.cursors[name] = cursor


def started(rows: Rows, now_s: float, *listening: Service) -> Services:
    """Return the services of a daemon that was just started."""
    services = Services()
    KnownServices(services, rows, lambda: frozenset(listening)).open(now_s)
    return services


def knows(services: Services, port: int, now_s: float) -> bool:
    """Whether a refused attempt at a port of the node is no evidence."""
    return services.serves(incomplete(port=port, time_s=now_s), is_own=True)


def test_they_are_known_before_they_are_up_again() -> None:
    """A listener, and a service behind the node; for a day."""
    rows = Rows()
    services = started(rows, 1000.0, WEB)
    services.note(FlowBatch(1000.0, completed=handshakes(1)), {parse_address(NODE)}.__contains__)
    kept = KnownServices(services, rows, lambda: frozenset({WEB}))
    kept.tick(1060.0)
    again = started(rows, 2000.0)
    assert [knows(again, port, 2000.0) for port in (80, 22, 23)] == [True, True, False]
    assert again.take_new() == []
    late_s = 1061.0 + KEPT_S
    assert not knows(started(rows, late_s), 80, late_s)


def test_a_listener_that_closes_stays_known() -> None:
    """A service that restarts, if it was there for a minute."""
    rows = Rows()
    services = Services()
    listening = {WEB}
    known = KnownServices(services, rows, lambda: frozenset(listening))
    known.open(1000.0)
    listening.clear()
    known.tick(1001.0)
    assert knows(services, 80, 1001.0)


def test_only_changes_are_saved() -> None:
    """Once a minute, and not what was saved already."""
    rows = Rows()
    services = Services()
    known = KnownServices(services, rows, frozenset)
    known.open(1000.0)
    assert "services" in rows.cursors
    rows.cursors.clear()
    known.tick(1060.0)
    assert rows.cursors == {}


@pytest.mark.parametrize("position", [7, "", "[", '[["zz", 6, 80, 1.0]]', '{"a": 1}'])
def test_what_cannot_be_read_is_not_known(position: int | str) -> None:
    """The daemon starts."""
    rows = Rows()
    rows.cursors["services"] = Cursor("", position)
    assert len(started(rows, 1000.0)) == 0
