"""The firewall's log rules are read in a thread, from time to time, while the kernel log is a source."""

from collections.abc import Callable

import msgspec

from monitor.daemon.life.firewall_log import FirewallLog
from monitor.enforcers.nftables.log_rules import Finding
from monitor.model.errors import TemporaryError
from monitor.settings.schema import Settings
from tests.support.daemon import wait_for

_SLOW = Finding("too slow", "faster")


class Rig:
    """One whose rules, clock and settings a test sets."""

    def __init__(self) -> None:
        self.clock_s, self.settings, self.looks = 0.0, Settings(), 0
        self.rules: list[Finding] | None = [_SLOW]
        self.log = FirewallLog(lambda: self.settings, self._look, lambda: self.clock_s)

    def _look(self, _: Settings) -> list[Finding]:
        self.looks += 1
        if self.rules is None:
            raise TemporaryError("nf_tables kept changing")
        return self.rules

    def until(self, condition: Callable[[], bool]) -> None:
        """Tick until this is true."""

        def step() -> bool:
            self.log.tick()
            return condition()

        wait_for(step, "the rules to be read")


def test_findings_are_notes_until_the_rules_change() -> None:
    """Read again every five minutes and after a reload; if that fails, what was found stays."""
    rig = Rig()
    rig.until(lambda: bool(rig.log.notices()))
    assert (rig.log.notices(), rig.looks, rig.log.part().state) == (["too slow"], 1, "could be better")
    rig.rules, rig.clock_s = None, 300.0
    rig.until(lambda: rig.looks == 2)
    rig.rules = []
    rig.log.renew()
    assert rig.log.notices() == ["too slow"]
    rig.until(lambda: not rig.log.notices())
    assert rig.log.part().state == "ok"
    rig.log.close()


def test_without_the_source_nothing_is_read() -> None:
    """Switched off by a reload, what was found no longer counts."""
    rig = Rig()
    rig.until(lambda: bool(rig.log.notices()))
    kernel_log = msgspec.structs.replace(rig.settings.sources.kernel_log, enabled=False)
    rig.settings = msgspec.structs.replace(
        rig.settings, sources=msgspec.structs.replace(rig.settings.sources, kernel_log=kernel_log)
    )
    rig.clock_s = 1000.0
    rig.log.tick()
    assert (rig.log.notices(), rig.looks, rig.log.part().state) == ([], 1, "off")
    rig.log.close()
