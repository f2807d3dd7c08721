"""Where the eBPF sources are, and how bcc compiles them without kernel headers."""

import sysconfig
from pathlib import Path


def source_directory() -> Path:
    """Return the directory of the eBPF C sources: inside the installed package, or beside it in a checkout."""
    packaged = Path(__file__).parent / "bpf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "bpf"


def kernel_source() -> Path:
    """Return what BCC_KERNEL_SOURCE must name: a tree of the few headers that bcc includes before every program."""
    return source_directory() / "shim"


def include_flags() -> list[str]:
    """Return compiler flags for our own headers and the UAPI headers of the distribution's linux-libc-dev."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    return [f"-I{source_directory()}", "-I/usr/include", f"-I/usr/include/{multiarch}"]
