"""kill -9 at any moment costs nothing that was acknowledged."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from monitor.state.store import Store

_WRITER = """
import sys
from pathlib import Path
import msgspec
from monitor.state.store import Store
from monitor.model.bans import claim_key
from monitor.model.addresses import Network
from tests.unit.bans.store_support import BAN, OFFENCE, changes

def put(batch, host):
    network = Network(host.to_bytes(4), 32)
    batch.put_ban(msgspec.structs.replace(BAN, network=network, until_s=float(number)))

store = Store.open(Path(sys.argv[1]))
number = int(sys.argv[2])
print("ready", flush=True)
while True:
    batch = changes(msgspec.structs.replace(OFFENCE, step=number))
    for host in range(20):
        put(batch, (host + 1) << 24)
    put(batch, number)
    batch.remove_ban(claim_key(msgspec.structs.replace(BAN, network=Network((number - 1).to_bytes(4), 32))))
    store.write(batch, durable=number % 10 == 0)
    print(number, flush=True)
    number += 1
"""
_KILLS = 30


def _kill_while_writing(path: Path, first: int, after_s: float) -> int:
    """Write from number `first` on in another process, killed after so long; return the last one acknowledged."""
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path), str(first)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    time.sleep(after_s)
    writer.send_signal(signal.SIGKILL)
    acknowledged = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    writer.wait()
    writer.stdout.close()
    return int(acknowledged[-1]) if acknowledged else first - 1


def _last_written(path: Path) -> int:
    """Return the number of the last batch in the file, in which each batch is there once and whole."""
    store = Store.open(path)
    steps = [offence.step for offence in store.offences(0.0)]
    assert steps == list(range(1, len(steps) + 1))
    last = len(steps)
    assert {ban.until_s for ban in store.bans()} <= {float(last)}
    assert sum(1 for _ in store.bans()) == (21 if last else 0)
    assert store.notices == []
    store.close()
    return last


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Thirty times: every batch acknowledged is there, at most the one under way beside it, none twice, none torn."""
    path = tmp_path / "nodewarden.db"
    chance = random.Random(3)
    written = 0
    for _ in range(_KILLS):
        acknowledged = _kill_while_writing(path, written + 1, chance.uniform(0.0, 0.08))
        written = _last_written(path)
        assert acknowledged <= written <= acknowledged + 1
    assert written > _KILLS


def test_killed_while_the_file_is_made_the_next_start_works(tmp_path: Path) -> None:
    """A first start that is cut short leaves nothing that has to be set aside."""
    script = "import sys; from pathlib import Path; from monitor.state.store import Store; print(flush=True); "
    chance = random.Random(5)
    for number in range(10):
        path = tmp_path / str(number) / "nodewarden.db"
        maker = subprocess.Popen(
            [sys.executable, "-c", script + "Store.open(Path(sys.argv[1])).close()", str(path)], stdout=subprocess.PIPE
        )
        assert maker.stdout is not None
        maker.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.01))
        maker.kill()
        maker.wait()
        maker.stdout.close()
        assert _last_written(path) == 0
