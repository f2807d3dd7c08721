"""`make install` and `make uninstall`, as the README says it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installed import SOURCE, make, wheels
from tests.support.lab import Lab
from tests.support.machine import Machine
from tests.support.node import UNIT

pytestmark = pytest.mark.system

_OBSERVE = "/etc/nodewarden/conf.d/10-observe.yaml"
_PLACES = ("etc", "opt", "usr", "var")
_OTHERS = (
    "etc/machine-id",
    "etc/.pwd.lock",
    "var/log",
    "var/lib/dbus",
    "var/lib/systemd",
    "var/lib/private",
    "var/cache",
    "var/tmp",
)
"""What booting and running a Debian changes by itself."""


@pytest.fixture(scope="module")
def fresh(installed: list[Path]) -> Iterator[Machine]:
    """Yield a machine as `make install` left it, booted for the first time."""
    with Lab("node", "attacker", label="fresh") as lab, Machine(lab["node"], installed, binds=[wheels()]) as machine:
        yield machine


def _modes(machine: Machine) -> set[str]:
    status = json.loads(machine.look("nodewarden", "status", "--json"))
    return {one["mode"] for one in status["detectors"]}


def test_first_it_observes(fresh: Machine) -> None:
    """After installation and boot the daemon runs and watches, no detector enforces, and its table has no bans."""
    assert fresh.unit(UNIT, "ActiveState")["ActiveState"] == "active"
    assert _modes(fresh) == {"observe"}
    assert "native code: in use" in fresh.look("nodewarden", "doctor", check=False)
    for name in ("ban4", "ban6", "shun4", "shun6"):
        assert "elements" not in fresh.host.run("nft", "list", "set", "inet", "nodewarden", name).stdout


def test_then_it_enforces(fresh: Machine) -> None:
    """What the file in conf.d says is enough to let it enforce, without a restart; a new installation keeps that."""
    before = fresh.main_pid(UNIT)
    fresh.path(_OBSERVE).unlink()
    fresh.look("sh", "-c", "nodewarden config check && systemctl reload nodewarden")
    assert "enforce" in _modes(fresh)
    assert fresh.main_pid(UNIT) == before
    assert "inet nodewarden" in fresh.host.run("nft", "list", "tables").stdout
    assert "native code: in use" in make(fresh, "install")
    assert not fresh.path(_OBSERVE).exists()


def test_uninstalling_leaves_what_is_the_operators(fresh: Machine) -> None:
    """`make uninstall` ends the daemon and its bans, and leaves configuration and state."""
    fresh.look("nodewarden", "ban", "192.0.2.7")
    make(fresh, "uninstall")
    assert fresh.host.run("nft", "list", "ruleset").stdout == ""
    assert fresh.unit(UNIT, "LoadState")["LoadState"] == "not-found"
    assert fresh.path("/etc/nodewarden/nodewarden.yaml").exists()
    assert fresh.path("/var/lib/nodewarden/nodewarden.db").exists()


def test_purging_leaves_nothing(fresh: Machine, installed: list[Path]) -> None:
    """`make uninstall PURGE=1` leaves nothing: no file, account, unit or process that was not there before."""
    make(fresh, "uninstall", "PURGE=1")
    root, base = fresh.path("/"), installed[-1]
    names = (str(path.relative_to(root)) for place in _PLACES for path in sorted((root / place).rglob("*")))
    ours = (name for name in names if not name.startswith((*_OTHERS, str(SOURCE)[1:])))
    assert [name for name in ours if not os.path.lexists(base / name)] == []
    for name in ("etc/passwd", "etc/group", "etc/shadow"):
        assert "nodewarden" not in fresh.path(f"/{name}").read_text()
    assert "nodewarden" not in fresh.look("ps", "-e", "-o", "args")
