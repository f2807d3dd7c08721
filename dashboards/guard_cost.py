"""Cost of the guard: CPU time, memory, and the programs in the kernel."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.panels import About, lines, steps
from dashboards.queries import Query

_ENTRIES = q.select("nodewarden_ebpf_map_entries")
_LIMIT = q.select("nodewarden_ebpf_map_entries_limit")
_RUN_S, _RUNS = "nodewarden_ebpf_run_seconds_total", "nodewarden_ebpf_runs_total"


def costs() -> tuple[Row, ...]:
    """Return the rows that `Guard health` shows of it."""
    return (*_process(), *_programs(), *_memory_of_sources())


def _process() -> tuple[Row, ...]:
    return (row("Cost", 8, _processor(), _memory(), _files()),)


def _processor() -> Panel:
    return lines(
        "CPU time",
        About(
            "CPU time of the guard on the ten nodes where it is highest; 100 % is one core.",
            "More to read. Expected during a flood, but not at rest.",
            "Compare with *Records read*.",
        ),
        "percentunit",
        Query(q.highest(q.over("rate", "process_cpu_seconds_total")), "{{instance}}"),
    )


def _memory() -> Panel:
    return lines(
        "Memory",
        About(
            "Resident memory of the guard on the ten nodes where it is highest.",
            "More to remember; every table is bounded. A rise that never stops is a leak.",
            "Report it with the output of `nodewarden status --json`.",
        ),
        "bytes",
        Query(q.highest(q.select("process_resident_memory_bytes")), "{{instance}}"),
    )


def _files() -> Panel:
    return lines(
        "Open files",
        About(
            "Open file descriptors as a share of the limit, on the ten nodes where it is highest.",
            "More logs are followed. A rise that never stops is a leak.",
            "Raise `LimitNOFILE=` of the unit; report a leak.",
        ),
        "percentunit",
        Query(q.highest(f"{q.select('process_open_fds')} / {q.select('process_max_fds')}"), "{{instance}}"),
    )


def _programs() -> tuple[Row, ...]:
    return (row("eBPF programs", 8, _each(), _share(), _rung(), is_folded=True),)


def _each() -> Panel:
    return lines(
        "eBPF run time",
        About(
            "Mean run time of each eBPF program: `drops` runs once per dropped packet, `xdp_ban` once per received "
            "packet.",
            "Memory or caches are contended, or the kernel uses an attach mode that costs more (see *Attach mode*).",
            "Nothing below a microsecond.",
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
        "CPU time of eBPF programs",
        About(
            "CPU time of the eBPF programs, as a share of one core, while the kernel collects run statistics: one "
            "second of each minute.",
            "More packets: see *Packets dropped by the kernel*.",
            "If it matters, set `sources.drops.enabled: false` on that node; other sources keep working.",
        ),
        "percentunit",
        # The counters move in one second of each minute: their rise in a minute is what that second took.
        Query(f"60 * {q.most(q.over('rate', _RUN_S, window='5m'), 'program')}", "{{program}}"),
    )


def _rung() -> Panel:
    return steps(
        "Attach mode",
        About(
            "Nodes by how each program is attached: `tracing` is best, `raw_tracepoint` costs more, `tracepoint` "
            "counts reasons only, `off` is not attached.",
            "`off`: drops are not counted on the node; python3-bpfcc, a capability or BTF is missing.",
            "`nodewarden status` names what is missing.",
        ),
        "short",
        (
            Query(f"{q.now('nodewarden_ebpf_rung', by='program, rung')} > 0", "{{program}}: {{rung}}"),
            Query(f"{q.now('nodewarden_xdp_attached', by='mode')} > 0", "XDP interfaces: {{mode}}"),
        ),
    )


def _memory_of_sources() -> tuple[Row, ...]:
    return (
        row("Memory of detectors and sources", 8, _maps(), _windows(), is_folded=True),
        row("", 7, _forgotten(), _proofs()),
        row("", 7, _set_aside(), _services()),
    )


def _maps() -> Panel:
    return lines(
        "eBPF map usage",
        About(
            "Fill level of the maps in which the kernel counts single sources, and load of the sketch that finds "
            "frequent ones.",
            "Many sources at once. Above 100 % of the sketch, a source must send more packets to be noticed.",
            "Nothing during a flood of forged sources: frequent ones are still found.",
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
        "Detector window usage",
        About(
            "Fill level of each detector's window, on the node where it is fullest.",
            "Many sources at once. At 100 % the oldest entries are evicted.",
            "Raise `max_entries` of that detector.",
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
        "Early evictions",
        About(
            "Entries evicted before their time because a table was full: sources in the kernel, pending handshakes, "
            "handshake evidence.",
            "A flood of sources: less is proven, and slow offenders may go undetected.",
            "See *Anomalies*. No wrong ban results.",
        ),
        "cps",
        (
            Query(q.per_second("nodewarden_ebpf_lost_sources_total"), "sources in the kernel"),
            Query(q.per_second("nodewarden_handshakes_evicted_total"), "pending handshakes"),
            Query(q.per_second("nodewarden_proofs_evicted_total"), "handshake evidence"),
            Query(q.per_second("nodewarden_clients_refused_total"), "known clients"),
        ),
    )


def _set_aside() -> Panel:
    return lines(
        "Evidence set aside",
        About(
            "Events and alerts that did not count against their source: attempts at known services or from this side "
            "of the node, logged packets that were accepted or could not be checked, alerts about known clients whose "
            "address anyone can have used, and half-open connections that this node caused.",
            "`contested`: somebody may be sending packets in the name of your clients. `excused`: a service accepts "
            "connections too slowly. `unchecked`: events of connection tracking are lost.",
            "`nodewarden list --observed` shows contested alerts; `nodewarden status` names log prefixes of accepted "
            "packets.",
        ),
        "cps",
        (
            Query(q.per_second("nodewarden_evidence_set_aside_total", by="reason"), "{{reason}}"),
            Query(q.per_second("nodewarden_detector_excused_total"), "excused"),
        ),
    )


def _services() -> Panel:
    return lines(
        "Known services",
        About(
            "Services that are known on a node and behind it, on the highest node.",
            "Attempts at known services are no probes. At 8,192 the one seen longest ago is forgotten.",
            "Nothing.",
        ),
        "short",
        (Query(q.most(q.select("nodewarden_services_known")), "services"),),
    )


def _proofs() -> Panel:
    return lines(
        "Handshake evidence",
        About(
            "Origins with a known completed handshake, and handshakes needed to prove one, on the highest node.",
            "`handshakes needed`: packets arrive that may be a forger's guesses.",
            "Nothing: the guard raises the number of needed handshakes automatically.",
        ),
        "short",
        (
            Query(q.most(q.select("nodewarden_proofs_entries")), "known origins"),
            Query(q.most(q.select("nodewarden_proofs_needed_handshakes")), "handshakes needed"),
        ),
    )
