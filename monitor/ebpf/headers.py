"""Locates the eBPF sources, and the headers to compile them without kernel headers."""

import sys
from pathlib import Path


def source_directory() -> Path:
    """Return the directory of the eBPF C sources: in the installed package, or next to it in a checkout."""
    packaged = Path(__file__).parent / "bpf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "bpf"


def kernel_source() -> Path:
    """Return the value of BCC_KERNEL_SOURCE: a tree of the few headers that bcc includes before every program."""
    return source_directory() / "shim"


def system_headers() -> tuple[Path, Path]:
    """Return the directories of the UAPI headers of linux-libc-dev: for all architectures, and for this one."""
    return Path("/usr/include"), Path("/usr/include", getattr(sys.implementation, "_multiarch", ""))


def include_flags() -> list[str]:
    """Return compiler flags for our own headers and the UAPI headers of the distribution's linux-libc-dev."""
    return [f"-I{directory}" for directory in (source_directory(), *system_headers())]
