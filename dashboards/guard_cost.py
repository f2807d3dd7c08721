"""What the guard costs: processor, memory, and the programs in the kernel."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.panels import About, lines, steps
from dashboards.queries import Query

_ENTRIES = q.select("nodewarden_ebpf_map_entries")
_LIMIT = q.select("nodewarden_ebpf_map_entries_limit")
_RUN_S, _RUNS = "nodewarden_ebpf_run_seconds_total", "nodewarden_ebpf_runs_total"


def costs() -> tuple[Row, ...]:
    """Return the rows that `The guard itself` shows of it."""
    return (*_process(), *_programs(), *_memory_of_sources())


def _process() -> tuple[Row, ...]:
    return (row("What does it cost?", 8, _processor(), _memory(), _files()),)


def _processor() -> Panel:
    return lines(
        "Processor time",
        About(
            "Cores that the guard takes, of the ten nodes where it takes most; 100 % is one core.",
            "more to read. In a flood that is expected; at rest it is not.",
            "compare with *Records read*.",
        ),
        "percentunit",
        Query(q.highest(q.over("rate", "process_cpu_seconds_total")), "{{instance}}"),
    )


def _memory() -> Panel:
    return lines(
        "Memory",
        About(
            "Resident memory, of the ten nodes where it is largest.",
            "more to remember; every table is bounded. A line that never stops rising is a leak.",
            "report it with `nodewarden status --json`.",
        ),
        "bytes",
        Query(q.highest(q.select("process_resident_memory_bytes")), "{{instance}}"),
    )


def _files() -> Panel:
    return lines(
        "Open files",
        About(
            "Descriptors in use as share of what the guard may open, of the ten highest nodes.",
            "more logs are followed; a line that never stops rising is a leak.",
            "raise `LimitNOFILE=` of the unit; report a leak.",
        ),
        "percentunit",
        Query(q.highest(f"{q.select('process_open_fds')} / {q.select('process_max_fds')}"), "{{instance}}"),
    )


def _programs() -> tuple[Row, ...]:
    return (row("", 8, _each(), _share(), _rung()),)


def _each() -> Panel:
    return lines(
        "Time of a run in the kernel",
        About(
            "Mean time that a run of each eBPF program takes: `drops` for a dropped packet, `xdp` for a received one.",
            "memory or caches are contended, or the kernel runs a slower kind of program (see *How programs run*).",
            "nothing below a microsecond.",
        ),
        "s",
        Query(
            f"{q.add(q.over('increase', _RUN_S, window='5m'), 'program')}"
            f" / ({q.add(q.over('increase', _RUNS, window='5m'), 'program')} > 0)",
            "{{program}}",
        ),
    )


def _share() -> Panel:
    return lines(
        "Processor time in the kernel",
        About(
            "What our eBPF programs take of a core, while the kernel kept count: one second of each minute.",
            "more packets: see *Packets dropped by the kernel*.",
            "if it matters, turn `sources.drops` off on that node: all else goes on.",
        ),
        "percentunit",
        # The counters move in one second of each minute: their rise in a minute is what that second took.
        Query(f"60 * {q.most(q.over('rate', _RUN_S, window='5m'), 'program')}", "{{program}}"),
    )


def _rung() -> Panel:
    return steps(
        "How programs run",
        About(
            "Nodes by how each program is attached: `tracing` is best, `raw_tracepoint` costs more, `off` is not at "
            "all.",
            "in `off`: the node sees no drops: python3-bpfcc, capabilities or BTF are missing.",
            "`nodewarden status` says what is missing.",
        ),
        "short",
        (
            Query(f"{q.now('nodewarden_ebpf_rung', by='program, rung')} > 0", "{{program}}: {{rung}}"),
            Query(f"{q.now('nodewarden_xdp_attached', by='mode')} > 0", "interfaces in front: {{mode}}"),
        ),
    )


def _memory_of_sources() -> tuple[Row, ...]:
    return (row("", 8, _maps(), _windows()), row("", 7, _forgotten(), _proofs()))


def _maps() -> Panel:
    return lines(
        "Memory of sources in the kernel",
        About(
            "How full the maps are in which the kernel counts sources one by one, and the sketch that finds frequent "
            "ones.",
            "many sources at once. Above 100 % of the sketch, a source must come more often to be noticed.",
            "nothing in a flood of forged sources: frequent ones are still found.",
        ),
        "percentunit",
        (
            Query(q.most(f"{_ENTRIES} / ({_LIMIT} > 0)", "map"), "map {{map}}"),
            Query(q.most(q.select("nodewarden_ebpf_sketch_load_ratio"), "program"), "sketch of {{program}}"),
        ),
        limit=1.0,
    )


def _windows() -> Panel:
    return lines(
        "Memory of detectors",
        About(
            "How full each detector's window is, on the node where it is fullest.",
            "many sources at once. At 100 % it forgets the oldest.",
            "raise `max_entries` of that detector.",
        ),
        "percentunit",
        Query(
            q.most(
                f"{q.select('nodewarden_detector_window_entries')}"
                f" / ({q.select('nodewarden_detector_window_entries_limit')} > 0)",
                "detector",
            ),
            "{{detector}}",
        ),
        limit=1.0,
    )


def _forgotten() -> Panel:
    return lines(
        "Forgotten early",
        About(
            "What was forgotten before its time because a table was full: sources in the kernel, handshakes under "
            "way, proofs of who completed one.",
            "a flood of sources: less is proven, slow offenders may get away.",
            "see *Anomalies*; nobody is banned wrongly for it.",
        ),
        "cps",
        (
            Query(q.per_second("nodewarden_ebpf_lost_sources_total"), "sources in the kernel"),
            Query(q.per_second("nodewarden_handshakes_evicted_total"), "handshakes under way"),
            Query(q.per_second("nodewarden_proofs_evicted_total"), "proofs"),
        ),
    )


def _proofs() -> Panel:
    return lines(
        "Proofs of who is who",
        About(
            "Origins whose completed handshakes are known, and how many are needed to prove one, of the highest node.",
            "in `handshakes needed`: packets come that could be guesses of a forger.",
            "nothing: the guard asks for more proof by itself.",
        ),
        "short",
        (
            Query(q.most(q.select("nodewarden_proofs_entries")), "known origins"),
            Query(q.most(q.select("nodewarden_proofs_needed_handshakes")), "handshakes needed"),
        ),
    )
