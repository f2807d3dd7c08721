"""Sources of evidence: how much is read, lost and discarded."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.panels import About, bars, lines, steps
from dashboards.queries import Query

_WITHOUT_WEIGHT = {
    "foreign": "nodewarden_source_foreign_records_total",
    "excluded": "nodewarden_source_excluded_records_total",
    "untrusted": "nodewarden_source_untrusted_records_total",
    "skipped": "nodewarden_source_skipped_records_total",
}


def readings() -> tuple[Row, ...]:
    """Return the rows that `Guard health` shows of it."""
    return (
        row("Sources", 8, _records(), _lag_by_source()),
        *_left_out(),
        row("Lost, late and malformed records (empty while all is well)", 7, *_losses(), is_folded=True),
    )


def _records() -> Panel:
    return lines(
        "Records read",
        About(
            "Records read from each source.",
            "More activity, or more log output. At zero, a source is silent or not set up.",
            "For the kernel log, rate-limit the firewall's log rule.",
        ),
        "cps",
        Query(q.per_second("nodewarden_source_records_total", by="source"), "{{source}}"),
        table=("lastNotNull", "max"),
    )


def _lag_by_source() -> Panel:
    return lines(
        "Lag by source",
        About(
            "Age of the last event when it was read, on the slowest node.",
            "The guard cannot keep up, or clocks differ.",
            "See *CPU time*, and whether one source is much larger than the others.",
        ),
        "s",
        Query(q.most(q.select("nodewarden_source_lag_seconds"), "source"), "{{source}}"),
        limit=5.0,
    )


def _lost() -> Panel:
    return bars(
        "Records lost",
        About(
            "Evidence that no detector saw: `lost` before it was read, `suppressed` by journald's rate limit.",
            "Kernel buffers are too small, or a flood is too fast. Attackers may go undetected; no wrong ban results.",
            "Rate-limit the log rule, enlarge `log_buf_len` or `sources.conntrack.buffer`.",
        ),
        "short",
        (
            Query(q.events("nodewarden_source_lost_records_total", by="source"), "{{source}} lost"),
            Query(q.events("nodewarden_source_suppressed_records_total", by="source"), "{{source}} suppressed"),
        ),
    )


def _gaps() -> Panel:
    return bars(
        "Gaps and resynchronisations",
        About(
            "Times a reader fell behind, the connection table was listed again, or a log was truncated in place.",
            "Records arrive faster than they can be read.",
            "The same as for *Records lost*.",
        ),
        "short",
        (
            Query(q.events("nodewarden_source_overruns_total", by="source"), "{{source}} fell behind"),
            Query(q.events("nodewarden_source_resyncs_total", by="source"), "{{source}} listed again"),
            Query(q.events("nodewarden_source_truncations_total", by="source"), "{{source}} truncated"),
        ),
    )


def _malformed() -> Panel:
    return bars(
        "Malformed records",
        About(
            "Records that could not be decoded, by cause; they were skipped.",
            "Something writes garbage to a log, or a kernel or application changed its format.",
            "Look at the log; report formats that should be supported.",
        ),
        "short",
        Query(q.events("nodewarden_source_malformed_records_total", by="source, cause"), "{{source}} {{cause}}"),
    )


def _losses() -> tuple[Panel, ...]:
    return _lost(), _gaps(), _malformed()


def _left_out() -> tuple[Row, ...]:
    return (row("", 7, _uncounted(), _files(), _volume(), _events()),)


def _uncounted() -> Panel:
    return lines(
        "Records not counted as evidence",
        About(
            "`foreign`: written to the kernel log by user space. `excluded`: the log prefix is not configured. "
            "`untrusted`: others than the system can have written it. `skipped`: nothing new in it.",
            "`foreign`, `untrusted`: someone may be forging evidence. `excluded`: a firewall logs under another "
            "prefix.",
            "For `excluded` compare `sources.kernel_log.prefixes` with `dmesg`.",
        ),
        "cps",
        [Query(q.per_second(metric), name) for name, metric in _WITHOUT_WEIGHT.items()],
    )


def _files() -> Panel:
    return steps(
        "Log files",
        About(
            "Log files that are followed, and those that exist but cannot be read.",
            "`unreadable`: permissions changed; those logs are not watched.",
            "`nodewarden status` names them.",
        ),
        "short",
        (
            Query(q.now("nodewarden_source_files"), "followed"),
            Query(q.now("nodewarden_source_unreadable_files"), "unreadable"),
            Query(q.now("nodewarden_source_unfollowed_files"), "not followed"),
        ),
    )


def _volume() -> Panel:
    return lines(
        "Log bytes",
        About(
            "Bytes of logs that are read, and those that are lost: trailing data without a newline, too many unread "
            "rotated files.",
            "Logs grow faster. `lost`: they are rotated faster than they are read.",
            "Rotate less often, or keep more rotated files.",
        ),
        "Bps",
        (
            Query(q.per_second("nodewarden_source_read_bytes_total"), "read"),
            Query(q.per_second("nodewarden_source_lost_bytes_total"), "lost"),
        ),
    )


def _events() -> Panel:
    return lines(
        "Events by kind",
        About(
            "Events handed to the detectors, by kind.",
            "More activity of that kind.",
            "Compare with *Alerts by detector*.",
        ),
        "cps",
        Query(q.per_second("nodewarden_events_total", by="kind"), "{{kind}}"),
    )
