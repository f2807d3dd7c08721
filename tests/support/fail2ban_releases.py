"""fail2ban of several Debian releases, downloaded once and kept outside the checkout; nothing of it is installed."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from bench.peers import fail2ban
from tests.support.root_image import CACHE

RELEASES = ("bookworm", "forky")
"""1.0.2, and the newest release (1.1.1 or later)."""
_TIMEOUT_S = 180


def unpacked(release: str) -> Path:
    """Return where the package of a release is unpacked; RuntimeError with apt's output if it cannot be had."""
    if release == "bookworm":
        if not fail2ban.fetch():
            raise RuntimeError("apt-get download fail2ban")
        return fail2ban.HOME
    CACHE.mkdir(parents=True, exist_ok=True)
    root = CACHE / f"fail2ban-{release}"
    with (CACHE / f"fail2ban-{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            download("fail2ban", release, root)
    return root


def download(package: str, release: str, root: Path) -> None:
    """Unpack a package of a release; RuntimeError with apt's output if it cannot be had."""
    work = root.with_suffix(".part")
    shutil.rmtree(work, ignore_errors=True)
    for directory in ("lists/partial", "cache/archives/partial", "root"):
        (work / directory).mkdir(parents=True)
    (work / "sources.list").write_text(f"deb http://deb.debian.org/debian {release} main\n")
    options = {
        "Dir::Etc::sourcelist": str(work / "sources.list"),
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": str(work / "lists"),
        "Dir::Cache": str(work / "cache"),
        "APT::Sandbox::User": "root",  # apt's own user may not write here
        "Acquire::Languages": "none",
        "Acquire::Check-Valid-Until": "false",  # indexes of testing expire within days: a mirror may lag behind
    }
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    _run([*apt, "update"], work)
    _run([*apt, "download", package], work)
    (archive,) = work.glob(f"{package}_*.deb")
    _run(["dpkg", "-x", str(archive), str(work / "root")], work)
    (work / "root").rename(root)
    shutil.rmtree(work)


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[-2:])}: {done.stderr.strip()}")
