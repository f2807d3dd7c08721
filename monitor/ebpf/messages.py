"""What the daemon and the compiling child say to each other."""

import msgspec

from monitor.ebpf.reasons import UNKNOWN, Reasons
from monitor.model.errors import PermanentError

MAX_MESSAGE_BYTES = 1 << 18
TRACING_RUNG, RAW_RUNG, CLASSIC_RUNG, OFF_RUNG = RUNGS = ("tracing", "raw_tracepoint", "tracepoint", "off")
TRACEPOINT, RAW_TRACEPOINT, XDP = 5, 17, 6  # BPF_PROG_TYPE_*, linux/bpf.h


class KernelLacksError(PermanentError):
    """This kernel lacks what this program needs; one that needs less may do."""


class Request(msgspec.Struct, frozen=True):
    """What to compile and load."""

    source: str
    """A file of bpf/."""
    functions: dict[str, int]
    """By name: their BPF_PROG_TYPE."""
    maps: tuple[str, ...]
    macros: dict[str, int] = {}
    """Numbers that the program takes from Python; the compiler adds those of the running kernel."""
    tracepoint: str = ""
    """Where the only function is to be attached: then it is loaded as a tracing program, where the kernel can."""
    needs_layout: bool = False
    """Whether the kernel's layout and drop reasons are needed."""


class MapShape(msgspec.Struct, frozen=True):
    """What a map is; sizes in bytes, of one value on one processor."""

    name: str
    key_bytes: int
    value_bytes: int
    max_entries: int


class Report(msgspec.Struct, frozen=True):
    """What was loaded: descriptors of functions and then of maps come beside it, in this order; or what went wrong."""

    functions: list[str] = []
    maps: list[MapShape] = []
    reasons: Reasons = Reasons((UNKNOWN,), 0, {}, ())
    """Where the layout was needed."""
    rung: str = ""
    """How the program is loaded: RUNGS, best first."""
    fallen: str = ""
    """Why it is not the best one."""
    error: str = ""
    is_of_kernel: bool = False
    """Whether the error is a KernelLacksError."""
