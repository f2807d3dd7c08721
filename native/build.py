"""Builds the native extension of nodewarden: `python -m native.build [--sanitize] DIRECTORY`."""

import argparse
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCES = Path(__file__).parent
NAME = f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
"""The file name that this interpreter looks for."""
_FLAGS = (
    *(
        "-std=c11",
        "-O3",
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Wshadow",
        "-Wno-unused-parameter",
    ),
    *("-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now"),
)
_SANITIZE = ("-std=c11", "-O1", "-g", "-fPIC", "-shared", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


class BuildError(Exception):
    """The extension cannot be built here; the text says why."""


def build(directory: Path, *, is_sanitized: bool = False) -> Path:
    """Compile into a directory and return the file; BuildError without a compiler or Python's headers."""
    target = directory / NAME
    fresh = target.with_name(f".{NAME}.new")
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[:1]
    command = [
        *compiler,
        *(_SANITIZE if is_sanitized else _FLAGS),
        f"-I{sysconfig.get_path('include')}",
        *map(str, sorted(SOURCES.glob("*.c"))),
        *("-o", str(fresh)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"no C compiler: {error}") from error
    if done.returncode:
        raise BuildError(done.stderr.strip()[-2000:])
    fresh.replace(target)
    return target


def main() -> None:
    """Build and print where the file is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sanitize", action="store_true", help="with AddressSanitizer and UndefinedBehaviorSanitizer")
    parser.add_argument("directory", type=Path)
    given = parser.parse_args()
    try:
        sys.stdout.write(f"{build(given.directory, is_sanitized=given.sanitize)}\n")
    except BuildError as error:
        sys.exit(f"the native extension was not built: {error}")


if __name__ == "__main__":
    main()
