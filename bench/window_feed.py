"""A process that runs the daemon and feeds it a flood of sources: run by the benchmark `window_rss`, inside the lab.

`python -m bench.window_feed CONFIGURATION SOURCES...` builds the daemon's Service, opens it and runs it as the daemon
does, and feeds packets from new sources to its pipeline. At each of the given numbers of sources it prints that number,
VmRSS in KiB, and how many sources the windows remember, by number of items.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

from bench.kmsg_lines import packet_record
from monitor.daemon.life import logs
from monitor.daemon.life.service import Service
from monitor.model.events import PacketLogged
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP
from monitor.settings.load import load
from monitor.sources.kmsg.format import decode_packet, is_packet_line, parse_record

_BATCH = 512  # the maximum batch of the source
_LINES_PER_S = 20_000
# Items of each source in turn: mostly single packets of a flood, and enough of the others to fill every level of
# the windows. None reaches a threshold (15 and 10).
_SHAPES = (1, 2, 1, 3, 1, 2, 1, 3, 1, 5, 1, 2, 1, 9, 1, 3)
_SCRAMBLE = 0x9E37_79B9_7F4A_7C15  # odd, so that multiplying by it maps distinct numbers to distinct ones


def main() -> None:
    """Run until the last of the given numbers of sources."""
    path, *numbers = sys.argv[1:]
    asyncio.run(_run(Path(path), sorted(map(int, numbers))))


async def _run(path: Path, milestones: Sequence[int]) -> None:
    loaded = load(path)
    logs.set_up(loaded.settings.log)
    service = Service(path, loaded)
    try:
        await service.open()
        life = asyncio.create_task(service.run())
        for first, last in pairwise((0, *milestones)):
            events = _events(range(first, last))
            while batch := list(islice(events, _BATCH)):
                service.pipeline.process(batch, time.time())
                await asyncio.sleep(0)  # the daemon's timers, metrics and control socket keep working
            print(last, _rss_kib(), [detector.stats.entries for detector in service.pipeline.detectors], flush=True)
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life
    finally:
        await service.close()


def _events(sources: range) -> Iterator[PacketLogged]:
    """Yield packets of these sources as the kernel log source would: decoded from lines, 20,000 per second."""
    start_s = time.time()
    for source in sources:
        for item in range(_SHAPES[source % len(_SHAPES)]):
            record = parse_record(_record(source, item))
            if record.facility == 0 and is_packet_line(record.message):
                yield decode_packet(record.message, start_s + (source - sources.start) / _LINES_PER_S)


def _record(source: int, item: int) -> bytes:
    """Return one line: alternating per 16 sources IPv4 or IPv6, port scans or host sweeps, TCP or UDP."""
    turn = source // len(_SHAPES)
    sweeps, protocol = turn & 2, PROTOCOL_UDP if turn & 4 else PROTOCOL_TCP
    if turn & 1:
        address = b"\x20\x01\x0d\xb8" + bytes(4) + (source * _SCRAMBLE & (1 << 64) - 1).to_bytes(8)
        destination = b"\x20\x01\x0d\xb8" + bytes(11) + bytes([item if sweeps else 0])
    else:
        address = (source * _SCRAMBLE & (1 << 32) - 1).to_bytes(4)
        destination = bytes([198, 51, 100, item if sweeps else 0])
    port = 1 + source % 997 + (0 if sweeps else item)
    return packet_record(source, address, port, protocol=protocol, destination=destination)


def _rss_kib() -> int:
    """Return the resident set of this process (proc(5), VmRSS)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


if __name__ == "__main__":
    main()
