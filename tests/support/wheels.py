"""What pip needs for the Debian package, fetched beforehand for any Python: the machines of the lab have no network."""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.root_image import CACHE

_CHECKOUT = Path(__file__).parents[2]
_PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")


def packages() -> str:
    """Return the part of the lock that `debian/rules` installs: what it vendors, and what builds nodewarden's wheel."""
    rules = (_CHECKOUT / "debian/rules").read_text().replace("\\\n", " ")
    names = {
        name for line in re.findall(r"^(?:VENDORED|BACKEND) := (.*)$", rules, re.MULTILINE) for name in line.split()
    }
    entries = re.findall(r"^\S+==(?:.*\\\n)*.*$", (_CHECKOUT / "requirements.lock").read_text(), re.MULTILINE)
    return "\n".join(entry for entry in entries if entry.partition("==")[0] in names) + "\n"


def key(text: str) -> str:
    """Return a name for what is made from this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def for_python(version: str) -> list[str]:
    """Return pip's options for another Python than its own ("3.13"): wheels only, each with its hash."""
    abis = [f"--abi={abi}" for abi in (f"cp{version.replace('.', '')}", "abi3", "none")]
    platforms = [f"--platform={one}_{platform.machine()}" for one in _PLATFORMS]
    python = [f"--python-version={version}", "--implementation=cp", *abis, *platforms, "--platform=any"]
    return ["--no-deps", "--only-binary=:all:", "--require-hashes", *python]


def package_wheels(version: str) -> Path:
    """Return a directory with wheels for a version of Python ("3.13"), fetched now if the cache lacks them."""
    wanted = packages()
    directory = CACHE / f"wheels-{version}-{key(wanted)}"
    if not directory.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(dir=CACHE, prefix="wheels-"))
        lock = begun / "lock.txt"
        lock.write_text(wanted)
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", *for_python(version)]
        subprocess.run([*fetch, "--dest", begun, "--requirement", lock], check=True, capture_output=True)
        lock.unlink()
        begun.chmod(0o755)
        try:
            begun.rename(directory)
        except OSError:  # another process was faster
            shutil.rmtree(begun)
    return directory
