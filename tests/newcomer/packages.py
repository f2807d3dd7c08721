"""`make debs`: build the package for Debian 12 and 13, each in a root of its own, on the Python of that release.

The packages go to dist/. The roots are made by mmdebstrap once and kept; building writes to neither root nor checkout.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.newcomer.site import check_out
from tests.support.deb import ROOT
from tests.support.root_image import RootImage, python_version
from tests.support.wheels import package_wheels

_SUITES = ("bookworm", "trixie")
_INSIDE = "/root/nodewarden"


def build_in(suite: str, directory: Path) -> Path:
    """Build the package in a root of a release of Debian, without a network; return its path in `directory`.

    RuntimeError with the output of the build if that fails.
    """
    root = RootImage(suite=suite).path()
    wheels = package_wheels(python_version(root))
    with tempfile.TemporaryDirectory(prefix="nodewarden-deb-") as place:
        check_out(Path(place))
        options = ["--quiet", "--volatile=overlay", "--private-network", "--register=no", "--keep-unit", "--pipe"]
        binds = [f"--bind={place}:{_INSIDE}", f"--bind-ro={wheels}", f"--chdir={_INSIDE}"]
        pip = [f"--setenv=PIP_FIND_LINKS={wheels}", "--setenv=PIP_NO_INDEX=1"]
        done = subprocess.run(
            ["systemd-nspawn", f"--directory={root}", *options, *binds, *pip, "make", "deb"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        built = list(Path(place, "dist").glob("nodewarden_*.deb"))
        if done.returncode or len(built) != 1:
            raise RuntimeError(f"building for {suite} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        directory.mkdir(exist_ok=True)
        return Path(shutil.copy(built[0], directory))


def main() -> int:
    """Build for each release."""
    parser = argparse.ArgumentParser(prog="make debs", description=__doc__)
    parser.add_argument("--suite", action="append", choices=[*_SUITES, "forky"], help="only for this release of Debian")
    suites = parser.parse_args().suite or _SUITES
    if os.geteuid() != 0:
        print("roots of other releases are made with mmdebstrap: run it as root", file=sys.stderr)
        return 1
    for suite in suites:
        print(build_in(suite, ROOT / "dist"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
