"""Saved events of connection tracking: what conntrack(8) prints in XML, and datagrams as they were received."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from monitor.daemon.replay.foreign.conntrack_xml import UNTIMED
from monitor.daemon.replay.foreign.ctnetlink_file import UNTIMED as UNTIMED_DATAGRAMS
from tests.support.conntrack import CORPUS, NAMES
from tests.unit.foreign.support import read

_TIMED_S = 1_795_000_000
_LISTS = ("opened", "completed", "late", "ending", "listed")
_UNTOLD = {"time_s", "status", "event_ns", "start_ns", "stop_ns", "icmp_id", "icmp_type", "icmp_code"}
"""What conntrack(8) prints otherwise, or not at all."""


def _timed(xml: bytes) -> bytes:
    """Return the output as with `-o timestamp`."""
    when = time.localtime(_TIMED_S)
    fields = {"hour": when.tm_hour, "min": when.tm_min, "sec": when.tm_sec, "wday": 1}
    fields |= {"day": when.tm_mday, "month": when.tm_mon, "year": when.tm_year}
    text = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return xml.replace(b"</flow>", f"<when>{text}</when></flow>".encode())


def _told(flow: Any, *, has_ports: bool) -> dict[str, Any]:
    left_out = _UNTOLD if has_ports else _UNTOLD | {name for name in flow.__struct_fields__ if name.endswith("_port")}
    told = {name: getattr(flow, name) for name in flow.__struct_fields__ if name not in left_out}
    return told | {"kind": type(flow).__name__, "answered": flow.is_answered, "established": flow.is_established}


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_are_the_same_flows(tmp_path: Path, name: str) -> None:
    """Everything recorded from a real kernel, in both forms at the same time."""
    datagrams = read(tmp_path / "some.bin", (CORPUS / f"{name}.bin").read_bytes())
    printed = read(tmp_path / "some.xml", _timed((CORPUS / f"{name}.xml").read_bytes()))
    has_ports = name not in ("gre", "dccp", "experimental")
    for field in _LISTS:
        expected = [_told(flow, has_ports=has_ports) for flow in datagrams.flows(field)]
        assert [_told(flow, has_ports=has_ports) for flow in printed.flows(field)] == expected, field
    assert len(printed.flows("incomplete")) == len(datagrams.flows("incomplete"))
    assert {flow.time_s for flow in printed.flows("opened")} <= {float(_TIMED_S)}
    assert printed.report.notes == []
    flows = [flow for field in _LISTS for flow in datagrams.flows(field)]
    is_untimed = any(flow.event_ns is None and flow.start_ns is None for flow in flows)
    assert (UNTIMED_DATAGRAMS in datagrams.report.notes) == is_untimed


def test_without_times_nothing_counts_and_it_is_said(tmp_path: Path) -> None:
    """The option that is missing is named."""
    found = read(tmp_path / "some.xml", (CORPUS / "tcp.xml").read_bytes())
    assert found.events == []
    assert found.report.unused == {UNTIMED: found.report.records}


def test_without_numbers_connections_are_told_apart_by_their_addresses(tmp_path: Path) -> None:
    """Without `-o id`."""
    xml = re.sub(rb"<id>\d+</id>", b"", _timed((CORPUS / "tcp.xml").read_bytes()))
    assert len(read(tmp_path / "some.xml", xml).flows("completed")) == 2


def test_a_file_that_ends_early_keeps_what_was_whole(tmp_path: Path) -> None:
    """Both forms, and it is said."""
    xml = _timed((CORPUS / "tcp.xml").read_bytes())
    cut = read(tmp_path / "some.xml", xml[: xml.rindex(b"</flow>")])
    assert cut.report.records == read(tmp_path / "whole.xml", xml).report.records - 1
    assert cut.report.notes == ["it ends in the middle of a connection: what came before counts"]
    data = (CORPUS / "tcp.bin").read_bytes()
    assert "it ends in the middle of a message: what came before counts" in read(tmp_path / "b", data[:-9]).report.notes
