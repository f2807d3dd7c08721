"""Packages of the distribution, unpacked below build/: nothing of them is installed."""

import shutil
import subprocess
from pathlib import Path

from bench.registry import progress

_HOME = Path("build/peers").absolute()
_TIMEOUT_S = 120


def home(name: str) -> Path:
    """Return the directory into which the packages of a peer are unpacked."""
    return _HOME / name


def fetch(name: str, *packages: str) -> bool:
    """Unpack a peer's packages if they are missing; return whether they are available, and report if they are not."""
    root = home(name)
    if all(any(root.glob(f"{package}_*.deb")) for package in packages):
        return True
    part = root.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        # As root: apt's own user may not write to a build directory.
        _run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages], part)
        for archive in sorted(part.glob("*.deb")):
            _run(["dpkg", "-x", archive.name, "."], part)
    except subprocess.CalledProcessError as error:
        progress(f"{name} is not available for comparison: {error.stderr.strip() or error}")
        return False
    except (OSError, subprocess.TimeoutExpired) as error:
        progress(f"{name} is not available for comparison: {error}")
        return False
    shutil.rmtree(root, ignore_errors=True)
    part.rename(root)
    return True


def version(name: str) -> str:
    """Return the version of an unpacked peer, without that of Debian; empty if it is not unpacked."""
    archive = next(home(name).glob(f"{name}_*.deb"), None)
    return archive.name.split("_")[1].partition("-")[0] if archive else ""


def _run(command: list[str], directory: Path) -> None:
    subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
