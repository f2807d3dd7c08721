"""Builds the Debian package, and variants of it for upgrades."""

import os
import subprocess
from pathlib import Path

from tests.support.needs import needs

ROOT = Path(__file__).parents[2]


def build() -> Path:
    """Build the package of this checkout; RuntimeError with the build output on failure."""
    needs("dh", "dpkg-deb", "dh_python3")
    environment = os.environ | {"DEB_RULES_REQUIRES_ROOT": "no", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}  # 12 s, not 37
    command = ["debian/rules", "--no-print-directory", "clean", "binary"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"building the package failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return max((ROOT / "dist").glob("nodewarden_*.deb"), key=lambda file: file.stat().st_mtime)


def later(deb: Path, directory: Path, version: str, **appended: str) -> Path:
    """Return the same package as a later version; `appended` is added to the configuration file of that stem."""
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text("".join(f"Version: {version}\n" if line.startswith("Version:") else line for line in lines))
    for stem, text in appended.items():
        with (tree / f"etc/nodewarden/{stem}.yaml").open("a") as file:
            file.write(text)
    made = directory / f"nodewarden_{version}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, made], check=True)
    return made
