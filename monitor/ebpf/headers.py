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


def system_headers() -> tuple[Path, Path]:
    """Return where linux-libc-dev puts the UAPI headers: those of all architectures, and this one's."""
    return Path("/usr/include"), Path("/usr/include", sysconfig.get_config_var("MULTIARCH") or "")


def include_flags() -> list[str]:
    """Return compiler flags for our own headers and the UAPI headers of the distribution's linux-libc-dev."""
    return [f"-I{directory}" for directory in (source_directory(), *system_headers())]
