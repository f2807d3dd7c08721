"""nft(8) of several Debian releases, unpacked once and kept outside the checkout; nothing of it is installed."""

import fcntl
import hashlib
import shutil
import signal
import subprocess
from pathlib import Path

import msgspec

from tests.support.lab import Host
from tests.support.root_image import CACHE

SUITES = ("bookworm", "trixie", "forky")
FOREIGN_TABLES = Path(__file__).with_name("foreign_tables.nft").read_text()
"""Tables called `foreign` of four families, with sets and maps of every kind that all these versions know."""

_RECIPE = (
    *("mmdebstrap", "--variant=extract", "--mode=root", "--format=directory", "--quiet", "--include=nftables"),
    *('--aptopt=Acquire::Languages "none"', "--dpkgopt=path-exclude=/usr/share/*"),
    '--aptopt=Acquire::Check-Valid-Until "false"',  # indexes of forky expire within days: a mirror may lag behind
)


class Nft(msgspec.Struct, frozen=True):
    """The nft of a release."""

    suite: str
    root: Path

    def command(self, *arguments: str) -> list[str]:
        """Return the command, which uses no library of this machine."""
        libraries = next(self.root.glob("**/ld-linux-*.so.*")).parent
        program = next(path for path in self.root.glob("**/sbin/nft"))
        loader = next(libraries.glob("ld-linux-*.so.*"))
        places = [self.root / "lib" / libraries.name, self.root / "usr/lib" / libraries.name]
        return [str(loader), "--library-path", ":".join(map(str, places)), str(program), *arguments]

    def version(self) -> str:
        """Return its version: `v1.1.3`."""
        done = subprocess.run(self.command("--version"), capture_output=True, text=True, check=True)
        return done.stdout.split()[1]

    def run(self, host: Host, *arguments: str, ruleset: str | None = None) -> "Run":
        """Run it in a host of the lab; `ruleset` is for `-f -`."""
        done = host.run(*self.command(*arguments), check=False, input_text=ruleset)
        return Run(f"nft of {self.suite} {' '.join(arguments)}", done.returncode, done.stdout, done.stderr)


class Run(msgspec.Struct, frozen=True):
    """How a call ended."""

    what: str
    code: int
    output: str
    errors: str

    @property
    def fault(self) -> str:
        """What went wrong, as text; empty for nothing."""
        if self.code == 0:
            return ""
        end = f"died of {signal.Signals(-self.code).name}" if self.code < 0 else f"exit {self.code}"
        return f"{self.what}: {end} {self.errors.strip()}"


def unpacked(suite: str) -> Nft:
    """Return the nft of a release, downloaded now (ten seconds) if it is not cached.

    RuntimeError with the output of mmdebstrap if that fails.
    """
    name = hashlib.sha256("\0".join((*_RECIPE, suite)).encode()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    root = CACHE / f"nft-{suite}-{name}"
    with (CACHE / f"nft-{suite}-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            begun = root.with_suffix(".begun")
            shutil.rmtree(begun, ignore_errors=True)
            done = subprocess.run([*_RECIPE, suite, str(begun)], capture_output=True, text=True)
            if done.returncode:
                shutil.rmtree(begun, ignore_errors=True)
                raise RuntimeError(f"mmdebstrap could not unpack the nft of {suite}: {done.stderr.strip()}")
            begun.rename(root)
    return Nft(suite, root)
