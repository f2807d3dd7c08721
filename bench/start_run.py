"""A process that starts the daemon's Service once: run by the benchmark `restore`, inside the lab.

`python -m bench.start_run CONFIGURATION` prints the seconds that `Service.open` took, the number of bans in force and
the number of elements in the kernel.
"""

import asyncio
import sys
import time
from pathlib import Path

from monitor.daemon.life import logs
from monitor.daemon.life.service import Service
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import listing
from monitor.enforcers.nftables.ruleset import BAN_SETS
from monitor.settings.load import load


async def _run(path: Path) -> None:
    loaded = load(path)
    logs.set_up(loaded.settings.log)
    service = Service(path, loaded)
    try:
        start_s = time.perf_counter()
        await service.open()
        took_s = time.perf_counter() - start_s
        print(took_s, len(service.pipeline.ledger), _held(), flush=True)
    finally:
        await service.close()


def _held() -> int:
    """Return how many elements the kernel has; a listing of a million would take minutes."""
    link = NetlinkSocket()
    counts = {name: one.count for name, one in listing.read_definitions(link).items() if not one.interval}
    link.close()
    return sum(
        len(listing.read_elements([name])) if (count := counts.get(name)) is None else count for name in BAN_SETS
    )


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1])))
