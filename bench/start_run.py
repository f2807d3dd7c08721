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
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.settings.load import load


async def _run(path: Path) -> None:
    loaded = load(path)
    logs.set_up(loaded.settings.log)
    service = Service(path, loaded)
    try:
        start_s = time.perf_counter()
        await service.open()
        took_s = time.perf_counter() - start_s
        held = len(NftablesEnforcer(max_bans=loaded.settings.bans.max_bans).elements())
        print(took_s, len(service.pipeline.ledger), held, flush=True)
    finally:
        await service.close()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1])))
