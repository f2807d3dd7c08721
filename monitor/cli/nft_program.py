"""The program nft(8) of this machine, which people use and the daemon does not."""

import contextlib
import os
import re
import shutil

from monitor.audit.kernel.programs import ProgramFailed, run

_TIMEOUT_S = 2.0
_MAX_BYTES = 4096
_READS_PLAIN_TYPES = (1, 1)


def installed_version() -> str:
    """Return its version, like `1.0.6`; empty if there is none or it does not say."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    program = shutil.which("nft", path=path)
    if program is None:
        return ""
    with contextlib.suppress(OSError, ProgramFailed):
        said = run(program, "--version", limit_bytes=_MAX_BYTES, timeout_s=_TIMEOUT_S)
        if found := re.search(rb"\bv(\d{1,4}(?:\.\d{1,4}){1,3})", said):
            return found[1].decode()
    return ""


def versions(installed: str, newest_writer: str) -> str:
    """Name both versions: that of this machine, and the newest that made a table."""
    here = f"nft {installed} is installed" if installed else "nft is not installed (the daemon does not need it)"
    return f"{here}; the tables of this node were made by nft {newest_writer}" if newest_writer else here


def crash_warning(installed: str, crashing_set: str) -> str:
    """Return that nft cannot be used here; empty if it can, or there is none."""
    if not crashing_set or not installed or tuple(map(int, installed.split(".")))[:2] >= _READS_PLAIN_TYPES:
        return ""
    return (
        f"warning: nft {installed} may crash here, because a newer version made {crashing_set}: use nft 1.1 or later. "
        "The daemon is not affected."
    )
