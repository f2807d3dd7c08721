"""The messages between the daemon and the child process that compiles."""

import msgspec

from monitor.ebpf.reasons import UNKNOWN, Reasons
from monitor.model.errors import PermanentError

MAX_MESSAGE_BYTES = 1 << 18
TRACING_MODE, RAW_MODE, CLASSIC_MODE, OFF_MODE = ATTACH_MODES = ("tracing", "raw_tracepoint", "tracepoint", "off")
TRACEPOINT, RAW_TRACEPOINT, XDP = 5, 17, 6  # BPF_PROG_TYPE_*, linux/bpf.h


class KernelLacksError(PermanentError):
    """This kernel lacks something that the program needs; a simpler program may work."""


class LoadRequest(msgspec.Struct, frozen=True):
    """A program to compile and load."""

    source: str
    """The name of a file in bpf/."""
    functions: dict[str, int]
    """The BPF_PROG_TYPE of each function, by name."""
    maps: tuple[str, ...]
    macros: dict[str, int] = {}
    """Numbers that the program takes from Python; the compiler adds those of the running kernel."""
    constants: dict[str, int] = {}
    """Numbers that differ between starts: 64-bit values (`bpf/late.h`) that are put into the compiled program."""
    tracepoint: str = ""
    """The tracepoint for the only function, which is then loaded as a tracing program if the kernel supports it."""
    needs_layout: bool = False
    """Whether the program needs the kernel's layout and drop reasons."""


class MapShape(msgspec.Struct, frozen=True):
    """The definition of a map; sizes in bytes, of one value on one processor."""

    name: str
    key_bytes: int
    value_bytes: int
    max_entries: int


class Report(msgspec.Struct, frozen=True):
    """The result: the descriptors of functions, then of maps, are passed with it in this order; or an error."""

    functions: list[str] = []
    maps: list[MapShape] = []
    reasons: Reasons = Reasons((UNKNOWN,), 0, {}, ())
    """Set if the layout was requested."""
    attach_mode: str = ""
    """How the program is attached: one of ATTACH_MODES, best first."""
    fallback_reason: str = ""
    """Why the best attach mode is not used; empty if it is."""
    error: str = ""
    is_of_kernel: bool = False
    """Whether the error is a KernelLacksError."""
