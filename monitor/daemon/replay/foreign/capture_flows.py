"""Flows of a capture: those of its packets, or of the netlink messages that an nlmon interface shows."""

from collections.abc import Iterator
from itertools import chain

from monitor.daemon.replay.foreign.connections import Connections
from monitor.daemon.replay.foreign.content import Content
from monitor.daemon.replay.foreign.ctnetlink_file import decode
from monitor.daemon.replay.foreign.file_report import FileReport
from monitor.daemon.replay.foreign.node_guess import NodeGuess
from monitor.daemon.replay.foreign.packets import NETLINK, Packet, netlink_message, read_packet
from monitor.daemon.replay.foreign.pcap_file import Frame, read_frames
from monitor.model.flows import Flow
from monitor.sources.conntrack.fast_decoder import FlowDecoder


def read_flows(content: Content, report: FileReport, node: NodeGuess, first_id: int) -> Iterator[Flow]:
    """Yield the flows; `first_id` sets their numbers apart from those of other captures."""
    frames = read_frames(content, report)
    first = next(frames, None)
    if first is None:
        return
    frames = chain((first,), frames)
    if first.link_type == NETLINK:
        yield from _netlink(frames, report)
    else:
        yield from Connections(first_id=first_id).follow(_packets(frames, report, node), report)


def _packets(frames: Iterator[Frame], report: FileReport, node: NodeGuess) -> Iterator[Packet]:
    for time_s, link_type, data in frames:
        packet = read_packet(time_s, link_type, data)
        if isinstance(packet, Packet):
            if packet.is_ours is not None:
                node.note(packet.source if packet.is_ours else packet.destination)
            yield packet
        else:
            report.leave_out(packet)


def _netlink(frames: Iterator[Frame], report: FileReport) -> Iterator[Flow]:
    decoder = FlowDecoder()
    for time_s, link_type, data in frames:
        message = netlink_message(data) if link_type == NETLINK else None
        if message is None:
            report.leave_out("no messages of netfilter")
            continue
        report.records -= 1  # of a frame, its messages count
        yield from decode(decoder, [message], report, time_s)
