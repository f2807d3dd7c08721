"""One package and one machine for all tests here: each installs what it needs, and the next finds a clean machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deb import build
from tests.support.lab import Lab
from tests.support.machine import Machine
from tests.support.root_image import RootImage


@pytest.fixture(scope="session")
def deb() -> Path:
    """Return the Debian package of this checkout, built now."""
    return build()


@pytest.fixture(scope="session")
def site(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Machine]]:
    """Yield a lab with a booted Debian 12 that has never seen nodewarden."""
    binds = [deb.parent, tmp_path_factory.getbasetemp()]
    with Lab("node", "operator", label="deb") as lab, Machine(lab["node"], [RootImage().path()], binds=binds) as node:
        yield lab, node


@pytest.fixture
def node(site: tuple[Lab, Machine]) -> Iterator[Machine]:
    """Yield the machine; whatever is installed there afterwards is purged, with what the role put beside it."""
    machine = site[1]
    yield machine
    machine.look("dpkg", "--purge", "nodewarden", check=False)
    machine.look("rm", "-rf", "/etc/systemd/system/nodewarden.service.d")
