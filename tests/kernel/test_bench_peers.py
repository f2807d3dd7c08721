"""The peers of the benchmarks: they ban in a namespace of their own, and leave nothing behind."""

import time
from pathlib import Path

import pytest

from bench.peers import servers
from bench.set_watch import SetWatch
from monitor.model.addresses import parse_address
from tests.support.lab import Lab
from tests.support.needs import cannot_run

pytestmark = pytest.mark.kernel

_LINE = "{date} node sshd[7]: Failed password for root from {address} port 40000 ssh2\n"
_ATTEMPTS = 8


@pytest.mark.parametrize("name", servers.NAMES)
def test_a_peer_bans_and_is_gone_afterwards(name: str, tmp_path: Path) -> None:
    """One failure in its log bans the address in the kernel of its namespace; then all its processes end."""
    if name not in servers.available():
        cannot_run(f"the package of {name} cannot be downloaded")
    log = tmp_path / "auth.log"
    log.touch()
    with Lab("node", label="peer") as lab:
        with (
            servers.running(name, lab["node"], tmp_path / name, [log], bans=True) as server,
            SetWatch(lab["node"]) as watch,
        ):
            pids = server.pids()
            assert any(_bans(watch, log, f"198.18.0.{number}") for number in range(1, _ATTEMPTS))
        commands = (Path(f"/proc/{pid}/cmdline") for pid in pids)
        assert not [path.read_text() for path in commands if path.exists() and path.read_text()]  # a zombie has none
        assert lab["node"].run("nft", "list", "ruleset").stdout == ""


def _bans(watch: SetWatch, log: Path, address: str) -> bool:
    """Whether a failure leads to a ban; it may not yet follow its log at the first."""
    with log.open("a") as file:
        file.write(_LINE.format(date=time.strftime("%b %e %H:%M:%S"), address=address))
    return watch.wait_for(parse_address(address), 2.0) is not None
