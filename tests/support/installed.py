"""A machine with nodewarden installed by `make install`, as by an operator, from wheels fetched beforehand."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.lab import Lab
from tests.support.machine import Machine
from tests.support.root_image import CACHE, RootImage

_CHECKOUT = Path(__file__).parents[2]
_WANTED = (
    *("monitor", "native", "bpf", "systemd", "Makefile", "pyproject.toml", "hatch_build.py"),
    "requirements.runtime.lock",
)
_DOCUMENTS = ("README.md", "CHANGELOG.md", "LICENSE")
_LOCK = _CHECKOUT / "requirements.runtime.lock"
SOURCE = Path("/opt/source")
"""The path of the checkout in the machine."""


def wheels() -> Path:
    """Return a directory with all packages for an installation by pip, fetched now if the cache lacks them.

    The machines have no network outside the lab, so they cannot fetch anything.
    """
    backend = re.search(r'"(hatchling==[^"]+)"', (_CHECKOUT / "pyproject.toml").read_text())
    assert backend is not None
    name = hashlib.sha256(_LOCK.read_bytes() + backend[1].encode() + sys.version.encode()).hexdigest()[:16]
    directory = CACHE / f"wheels-{name}"
    if not directory.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(dir=CACHE, prefix="wheels-"))
        for wanted in (["--require-hashes", "--requirement", str(_LOCK)], [backend[1]]):
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(begun), *wanted],
                check=True,
                capture_output=True,
            )
        begun.chmod(0o755)
        try:
            begun.rename(directory)
        except OSError:  # another process was faster
            shutil.rmtree(begun)
    return directory


_MAKE_S = 240.0
"""pip compiles all libraries, while other tests run."""


def make(machine: Machine, *targets: str) -> str:
    """Run targets of the Makefile in the machine; return the output."""
    offline = (f"PIP_FIND_LINKS={wheels()}", "PIP_NO_INDEX=1")
    command: tuple[str | Path, ...] = ("env", *offline, "make", "--no-print-directory", "-C", SOURCE, *targets)
    return machine.try_(*command, check=True, timeout_s=_MAKE_S).stdout


def copy_checkout(machine: Machine) -> None:
    """Copy the files for an installation from the checkout to the machine."""
    source = machine.path(SOURCE)
    for name in (*_WANTED, *_DOCUMENTS):
        if (path := _CHECKOUT / name).is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"), symlinks=True)
        else:
            source.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, source)


def install(layer: Path) -> list[Path]:
    """Create `layer` with the files that an installation adds; return all layers. nodewarden never ran in it."""
    base = RootImage().path()
    with Lab("node", label="install") as lab, Machine(lab["node"], [base], binds=[wheels()]) as machine:
        copy_checkout(machine)
        make(machine, "install")
        machine.keep(layer)
    return [layer, base]
