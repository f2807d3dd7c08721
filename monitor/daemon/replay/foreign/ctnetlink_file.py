"""Datagrams of ctnetlink, one behind the other as they were received: flows, by the decoder of the source."""

import struct
from collections.abc import Iterator

from monitor.daemon.replay.foreign.content import Content
from monitor.daemon.replay.foreign.file_report import FileReport
from monitor.model.errors import MalformedRecord
from monitor.model.flows import Flow, FlowClosed
from monitor.sources.conntrack.fast_decoder import FlowDecoder
from monitor.sources.conntrack.format import DELETE, NEW, walk

UNTIMED = "it says no times, so that all of it is taken for simultaneous: capture nlmon with tcpdump to keep them"
_header = struct.Struct("=IHH").unpack_from
_MIN_BYTES, _MAX_BYTES = 16, 65_536
_AT_ONCE = 512


def is_capture(head: bytes) -> bool:
    """Whether a file starts with a message about a connection."""
    if len(head) < _MIN_BYTES:
        return False
    length, kind, _ = _header(head)
    if kind not in (NEW, DELETE) or not _MIN_BYTES < length <= min(len(head), _MAX_BYTES):
        return False
    try:
        walk(head[:length])
    except MalformedRecord:
        return False
    return True


def read_flows(content: Content, report: FileReport, fallback_s: float) -> Iterator[Flow]:
    """Yield the flows; those whose message says no time (nf_conntrack_timestamp) are of `fallback_s`."""
    decoder = FlowDecoder()
    messages: list[bytes] = []
    for message in _messages(content, report):
        messages.append(message)
        if len(messages) >= _AT_ONCE:
            yield from decode(decoder, messages, report, fallback_s)
            messages.clear()
    for flow in decode(decoder, messages, report, fallback_s):
        if flow.time_s == fallback_s:
            report.note(UNTIMED)
        yield flow


def decode(decoder: FlowDecoder, messages: list[bytes], report: FileReport, time_s: float) -> Iterator[Flow]:
    """Yield the flows of messages that were received at a time; a time that the kernel noted comes first."""
    decoded = decoder.decode(messages, time_s)
    report.records += len(decoded.events) + decoded.skipped + decoded.malformed
    report.leave_out("malformed", decoded.malformed)
    report.leave_out("other updates", decoded.skipped)
    if decoded.is_overrun:
        report.note("the kernel says that it lost messages while this was recorded")
    for flow in decoded.events:
        noted_ns = flow.event_ns or (flow.stop_ns if type(flow) is FlowClosed else flow.start_ns)
        if noted_ns and noted_ns < _LATEST_NS:
            yield _at(flow, noted_ns / 1e9)
        else:
            yield flow


_LATEST_NS = 1 << 62


def _at(flow: Flow, time_s: float) -> Flow:
    """Return a flow at another time."""
    return type(flow)(time_s, *[getattr(flow, name) for name in flow.__struct_fields__[1:]])


def _messages(content: Content, report: FileReport) -> Iterator[bytes]:
    """Yield whole messages, each as long as its header says."""
    while head := content.read(_MIN_BYTES):
        length = _header(head)[0] if len(head) == _MIN_BYTES else 0
        if not _MIN_BYTES <= length <= _MAX_BYTES:
            report.note("it ends in the middle of a message, or is damaged there: what came before counts")
            return
        message = head + content.read(length - _MIN_BYTES)
        if len(message) < length:
            report.note("it ends in the middle of a message: what came before counts")
            return
        yield message
        content.skip(-length % 4)
