"""Small parts of the daemon."""

import logging

from monitor.bans.ledger import Ledger
from monitor.daemon.life.log_formats import Text
from monitor.daemon.life.logs import Limiter
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.table import NftablesTable
from monitor.enforcers.protocol import Stopped
from monitor.node.addresses import parse_resolvers


def test_log_lines_are_limited_and_the_rest_counted() -> None:
    """Of a hundred lines in a second ten pass; the next second begins anew."""
    limiter = Limiter(10)
    assert sum(limiter.allows() for _ in range(100)) == 10
    assert limiter.refill() == 90
    assert limiter.allows()
    assert limiter.refill() == 0


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Text that attackers chose cannot move the cursor or fake a second line."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "banned \x1b[2J\n2026 fake line", None, None)
    text = Text().format(record)
    assert "\x1b" not in text
    assert "\n" not in text
    assert "\\x1b[2J\\n2026 fake line" in text


def test_resolvers_are_read_from_resolv_conf() -> None:
    """Both families, zones cut off, comments and nonsense passed over."""
    text = "# nameserver 9.9.9.9\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver x\nsearch a\nnameserver\n"
    assert [address.hex() for address in parse_resolvers(text)] == ["c0000235", "fe80" + "0" * 27 + "1"]


def test_leaks_of_an_earlier_daemon_are_no_alarm() -> None:
    """Only what leaked since this daemon began to look counts, and a few packets in flight do not."""

    class Counting(NftablesTable):
        total = 500

        def leaks(self) -> dict[str, Stopped]:
            """Return the kernel's counter, which outlives the daemon."""
            return {"input": Stopped(self.total, 0)}

    ledger = Ledger(max_bans=16)
    table = Counting(NftablesEnforcer(max_bans=16), ledger, ())
    assert table.leaking(1000.0) == {}
    table.total += 2
    assert table.leaking(1001.0) == {}
    table.total += 8
    assert table.leaking(1002.0) == {"input": 10}
