"""What the Debian package contains: documents whose links lead somewhere, dashboards, rules and runbooks."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.support.deb import ROOT
from tests.support.lab import Lab
from tests.support.machine import Machine
from tests.support.root_image import RootImage
from tests.system.packaging.test_deb import install, listed, sources
from tests.unit.test_documents import links

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]  # the first makes the package
SHARE = "usr/share/nodewarden"


@pytest.fixture(scope="module")
def unpacked(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the files of the package."""
    directory = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["dpkg-deb", "--extract", deb, directory], check=True)
    return directory


def below(directory: Path, pattern: str) -> list[Path]:
    """Return the files that a reader finds below a directory, by the paths that links in them start from."""
    found = subprocess.check_output(["find", "-L", directory, "-name", pattern, "-type", "f"], text=True)
    return [Path(line) for line in found.splitlines()]


@pytest.mark.parametrize("place", ["usr/share/doc/nodewarden", SHARE])
def test_links_of_installed_documents_lead_somewhere(unpacked: Path, place: str) -> None:
    """Every relative link of every document names an installed file, from each place where a reader opens it."""
    documents = below(unpacked / place, "*.md")
    assert len(documents) > 100
    broken = [
        f"{document.relative_to(unpacked)}: {target}"
        for document in documents
        for target in links(document.read_text())
        if not re.match(r"[a-z]+:", target) and not (document.parent / target.partition("#")[0]).exists()
    ]
    assert not broken


@pytest.mark.parametrize(
    ("installed", "source", "pattern"),
    [
        ("dashboards/json", "dashboards/json", "*.json"),
        ("dashboards/provisioning", "dashboards/provisioning", "*"),
        ("rules", "dashboards/rules", "*.yaml"),
        ("runbooks", "docs/runbooks", "*.md"),
    ],
)
def test_dashboards_rules_and_runbooks_are_installed(unpacked: Path, installed: str, source: str, pattern: str) -> None:
    """All files of the repository are there, unchanged and uncompressed."""
    expected = {path.name: path.read_bytes() for path in (ROOT / source).glob(pattern)}
    assert expected
    assert {path.name: path.read_bytes() for path in below(unpacked / SHARE / installed, pattern)} == expected


def test_without_what_it_recommends(deb: Path) -> None:
    """Without bcc, which brings LLVM, and without nft it installs and runs; status and doctor say what is missing."""
    with Lab("node", label="lean") as lab, Machine(lab["node"], [RootImage().path()], binds=[deb.parent]) as node:
        node.look("dpkg", "--purge", "python3-bpfcc", "libbpfcc", "nftables")
        install(node, deb)
        wait_for(lambda: sources(node)["drops"] != "loading", "the source to give up")
        assert [name for name, state in sources(node).items() if state == "up"] == [
            "kernel_log",
            "conntrack",
            "journal",
        ]
        assert "python3-bpfcc" in node.look("nodewarden", "status")
        doctor = node.try_("nodewarden", "doctor")
        assert doctor.returncode == 1
        assert "apt-get install python3-bpfcc linux-libc-dev" in doctor.stdout
        node.look("nodewarden", "ban", "198.51.100.7")
        assert listed(node) == ["198.51.100.7"]
