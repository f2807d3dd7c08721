"""What the guard reads: does it see everything?"""

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
    """Return the rows that `The guard itself` shows of it."""
    return (
        row("What is read", 8, _records(), _lag_by_source()),
        row("", 7, _lost(), _gaps(), _malformed()),
        *_left_out(),
    )


def _records() -> Panel:
    return lines(
        "Records read",
        About(
            "Records read from each source.",
            "more goes on, or something writes more logs. At nothing, a source is silent or not set up.",
            "for the kernel log put a limit on the firewall's log rule.",
        ),
        "cps",
        Query(q.per_second("nodewarden_source_records_total", by="source"), "{{source}}"),
        table=("lastNotNull", "max"),
    )


def _lag_by_source() -> Panel:
    return lines(
        "Lag by source",
        About(
            "Age of the last event when it was read, of the slowest node.",
            "the guard cannot keep up, or clocks differ.",
            "see processor time; is one source much larger than the others?",
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
            "the kernel's buffers are too small, or a flood is too fast. Attackers may get away, nobody is banned "
            "wrongly.",
            "limit the log rule, enlarge `log_buf_len` or `sources.conntrack.buffer`.",
        ),
        "cps",
        (
            Query(q.per_second("nodewarden_source_lost_records_total", by="source"), "{{source}} lost"),
            Query(q.per_second("nodewarden_source_suppressed_records_total", by="source"), "{{source}} suppressed"),
        ),
    )


def _gaps() -> Panel:
    return bars(
        "Gaps and how they were made up",
        About(
            "Times the reader fell behind, the connection table was listed anew, or a log was emptied in place.",
            "more than can be read at once arrives.",
            "the same as for lost records.",
        ),
        "suffix:/min",
        (
            Query(q.per_minute("nodewarden_source_overruns_total", by="source"), "{{source}} fell behind"),
            Query(q.per_minute("nodewarden_source_resyncs_total", by="source"), "{{source}} listed anew"),
            Query(q.per_minute("nodewarden_source_truncations_total", by="source"), "{{source}} emptied"),
        ),
    )


def _malformed() -> Panel:
    return bars(
        "Records not understood",
        About(
            "Records that could not be decoded, by cause; they were skipped.",
            "somebody writes nonsense to a log, or a kernel or application changed its format.",
            "look at the log; report formats that should be known.",
        ),
        "suffix:/min",
        Query(q.per_minute("nodewarden_source_malformed_records_total", by="source, cause"), "{{source}} {{cause}}"),
    )


def _left_out() -> tuple[Row, ...]:
    return (row("", 7, _uncounted(), _files(), _volume(), _events()),)


def _uncounted() -> Panel:
    return lines(
        "Records that do not count",
        About(
            "`foreign` users wrote them to the kernel log, `excluded` their prefix is not configured, `untrusted` "
            "others can have written them, `skipped` they tell nothing new.",
            "in `foreign` or `untrusted`: somebody may be forging evidence; in `excluded`: a firewall logs under "
            "another name.",
            "for `excluded` compare `sources.kernel_log.prefixes` with `dmesg`.",
        ),
        "cps",
        [Query(q.per_second(metric), name) for name, metric in _WITHOUT_WEIGHT.items()],
    )


def _files() -> Panel:
    return steps(
        "Log files",
        About(
            "Log files that are followed, and those that are there but cannot be read.",
            "in `unreadable`: permissions changed: those logs are not watched.",
            "`nodewarden status` names them.",
        ),
        "short",
        (
            Query(q.now("nodewarden_source_files"), "followed"),
            Query(q.now("nodewarden_source_unreadable_files"), "unreadable"),
        ),
    )


def _volume() -> Panel:
    return lines(
        "Log bytes",
        About(
            "Bytes of logs that are read, and those given up: ends without a newline, too many unread generations.",
            "logs grow faster; in `given up`: they are rotated faster than they are read.",
            "rotate less often, or keep more generations.",
        ),
        "Bps",
        (
            Query(q.per_second("nodewarden_source_read_bytes_total"), "read"),
            Query(q.per_second("nodewarden_source_lost_bytes_total"), "given up"),
        ),
    )


def _events() -> Panel:
    return lines(
        "Events by kind",
        About(
            "What the detectors are handed.",
            "more goes on; which kind says on which side.",
            "compare with *Alerts by detector*.",
        ),
        "cps",
        Query(q.per_second("nodewarden_events_total", by="kind"), "{{kind}}"),
    )
