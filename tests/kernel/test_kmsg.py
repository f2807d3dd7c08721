"""The kernel log source against the real /dev/kmsg."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.model.addresses import parse_address
from monitor.model.errors import PermanentError
from monitor.model.events import PacketLogged
from monitor.sources.kmsg.reader import KernelLog
from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel
_BACK = 40
"""So many records back are those of a test, among others of the machine."""


def packets(site: Site, count: int, port: int = 23) -> None:
    """Send this many UDP packets into the logging rule, as fast as they go."""
    site.attacker.run(
        "hping3", "-q", "-2", "-c", str(count), "-i", "u10", "-p", str(port), site.node.address4, check=False
    )


def drain(log: KernelLog) -> list[PacketLogged]:
    """Return all events that wait."""
    events = log.read()
    while not log.is_drained:
        events += log.read()
    return events


def collect(log: KernelLog, enough: Callable[[list[PacketLogged]], Any]) -> list[PacketLogged]:
    """Return the events read until there are enough."""
    events: list[PacketLogged] = []

    def step() -> Any:
        events.extend(drain(log))
        return enough(events)

    wait_for(step, "enough events")
    return events


def test_events_carry_wall_time_and_come_at_once(site: Site) -> None:
    """A packet logged now is an event of now, give or take a second, with everything the firewall wrote."""
    log = KernelLog(prefixes=[site.prefix])
    packets(site, 3, port=4711)
    events = collect(log, lambda events: len(events) >= 3)
    log.close()
    assert events[0].source == parse_address(site.attacker.address4)
    assert events[0].prefix == site.prefix
    assert events[0].interface_in == "eth0"
    assert events[0].destination_port == 4711
    assert abs(events[-1].time_s - time.time()) < 60


def test_what_user_space_writes_is_never_evidence(site: Site) -> None:
    """A process that writes a perfect line to /dev/kmsg is counted as foreign: the kernel marks its facility."""
    log = KernelLog(prefixes=[site.prefix])
    line = (
        f"<4>{site.prefix}IN=eth0 OUT= MAC= SRC=192.0.2.1 DST=192.0.2.2 LEN=44 TOS=0x00 PREC=0x00 TTL=64 ID=1 "
        "PROTO=TCP SPT=1 DPT=2 WINDOW=1024 RES=0x00 SYN URGP=0 \n"
    )
    descriptor = os.open("/dev/kmsg", os.O_WRONLY)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    events = collect(log, lambda _: log.stats.foreign)
    log.close()
    assert events == []
    assert log.stats.packets == 0


def test_every_lost_record_is_counted(site: Site) -> None:
    """A reader that is overtaken by the ring buffer notices, and records read plus lost are all there were."""
    log = KernelLog(prefixes=[site.prefix])
    packets(site, 1)
    collect(log, lambda events: events)
    first, read = log.sequence, log.stats.records
    assert first is not None
    packets(site, 30_000)
    drain(log)
    log.close()
    assert log.stats.overruns >= 1
    assert log.stats.lost > 0
    assert log.sequence is not None
    assert log.sequence - first == log.stats.records - read + log.stats.lost


def test_reading_continues_after_a_saved_cursor(site: Site) -> None:
    """What was logged between two readers is seen by the second, once, and nothing twice."""
    log = KernelLog(prefixes=[site.prefix])
    packets(site, 5, port=1001)
    collect(log, lambda _: log.stats.packets >= 5)
    log.close()
    packets(site, 4, port=1002)
    again = KernelLog(prefixes=[site.prefix], after=log.sequence)
    events = drain(again)
    again.close()
    assert [event.destination_port for event in events] == [1002] * 4
    assert again.stats.lost == 0


def test_allowed_packets_do_not_count(site: Site) -> None:
    """Lines whose prefix says that the firewall let them pass, or that is not configured, are excluded and counted."""
    log = KernelLog(prefixes=[site.prefix], ignore_prefixes=["NWTEST"])
    packets(site, 3)
    collect(log, lambda _: log.stats.excluded >= 3)
    log.close()
    other = KernelLog(prefixes=["something else"], after=(log.sequence or _BACK) - _BACK)
    assert drain(other) == []
    other.close()
    assert other.stats.excluded >= 3


def test_what_connection_tracking_logs_is_no_evidence(site: Site) -> None:
    """Lines of nf_conntrack_log_invalid look like those of a firewall, but nobody dropped the packet."""
    chain = 'type filter hook prerouting priority 0\nudp dport 4712 log prefix "nf_ct_proto_17: invalid "\n'
    site.node.nft(f"table ip tracking {{\nchain c {{\n{chain}}}\n}}\n")
    log = KernelLog()
    packets(site, 3, port=4712)
    events = collect(log, lambda _: log.stats.excluded >= 3)
    log.close()
    assert not [event for event in events if event.prefix.startswith("nf_ct_")]
    named = KernelLog(prefixes=["nf_ct_"], after=(log.sequence or 3) - 3)
    assert {event.prefix for event in drain(named)} <= {"nf_ct_proto_17: invalid "}
    named.close()


def test_a_missing_log_says_what_to_do(tmp_path: Path) -> None:
    """Where there is no /dev/kmsg the error names the path and the way out."""
    with pytest.raises(PermanentError, match="bind /dev/kmsg"):
        KernelLog(path=tmp_path / "kmsg")
