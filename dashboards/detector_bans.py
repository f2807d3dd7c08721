"""Bans and filters of logs, for the person who tunes."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import known
from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.panels import NONE_IS_GOOD, About, Value, bars, heat_map, lines, number, steps
from dashboards.queries import Query

CHOSEN = 'detector=~"$detector"'
DECISIONS = "nodewarden_decisions_total"
LATENCY = "nodewarden_ban_latency_seconds"

_USELESS = {
    "ignored": "nodewarden_filter_ignored_total",
    "no address": "nodewarden_filter_unusable_total",
    "misdated": "nodewarden_filter_misdated_total",
    "outdated": "nodewarden_filter_outdated_total",
    "given up": "nodewarden_filter_timeouts_total",
    "connection forgotten": "nodewarden_filter_evicted_total",
    "network too large": "nodewarden_detector_ignored_networks_total",
}


def bans_and_filters() -> tuple[Row, ...]:
    """Return the rows that `Detectors and thresholds` shows of them."""
    return (
        row("Bans", 8, _speed(), _forced(), _ended()),
        row("", 8, _sets(), _budget(), _windows()),
        row("Filters of logs", 7, _found(), _looked(), _useless(), _unusable(), widths=(7, 7, 6, 4)),
    )


def _speed() -> Panel:
    return heat_map(
        "Time to ban, every ban",
        About(
            "How long bans took, from the event that crossed the threshold to the kernel's set; brighter is more bans.",
            "marks that move up: the guard is late. Milliseconds are ordinary, from log files up to a second.",
            "see lag and processor in *The guard itself*.",
        ),
        "s",
        Query(q.add(q.over("increase", f"{LATENCY}_bucket"), "le"), "{{le}}"),
    )


def _forced() -> Panel:
    return steps(
        "Bans in force",
        About(
            "Bans by strength of evidence; `only observed` are such as would be, if their detector enforced.",
            "more offenders, longer `bantime`, or escalation of those who come again.",
            "`nodewarden list --sort ends`.",
        ),
        "short",
        known.bans(),
    )


def _ended() -> Panel:
    return bars(
        "Bans that ended",
        About(
            "By cause: their time was up, somebody lifted them, or their address was put on the allowlist.",
            "in `lifted` and `allowlisted`: bans were mistakes: that is the number to tune by.",
            "`nodewarden why ADDRESS` says which detector was wrong; raise its `maxretry`.",
        ),
        "suffix:/min",
        known.bans_ended(),
    )


def _sets() -> Panel:
    return lines(
        "Capacity of the sets in use",
        About(
            "Elements of each set in the kernel, as share of what it can hold; of the node where it is fullest.",
            "bans pile up. A full set takes no more.",
            "raise `bans.max_bans`, or shorten `bantime` of the detector that fills it.",
        ),
        "percentunit",
        known.sets_in_use(),
        limit=0.9,
    )


def _budget() -> Panel:
    return lines(
        "Budget of new bans",
        About(
            "New bans of the busiest node by the minute, and the lowest budget of all.",
            "the brake comes near: beyond it bans are only observed.",
            "is it an attack or a mistake? `nodewarden list --sort since`.",
        ),
        "suffix:/min",
        (
            Query(q.most(q.per_minute(DECISIONS, 'verdict="ban"', by=q.BY_NODE)), "new bans"),
            Query(f"min({q.select('nodewarden_budget_bans_per_minute')})", "budget"),
        ),
    )


def _windows() -> Panel:
    return lines(
        "Keys forgotten early",
        About(
            "Sources that a detector forgot because its window was full: their evidence is lost.",
            "a flood of sources washes the window; slow offenders get away.",
            "raise `max_entries` of the detector that the table above names.",
        ),
        "cps",
        Query(q.per_second("nodewarden_detector_evicted_keys_total", CHOSEN), "all detectors"),
    )


def _found() -> Panel:
    return lines(
        "Failures found in logs",
        About(
            "Failed logins and the like that each filter found.",
            "somebody guesses passwords, or an application of yours has a wrong one.",
            "`nodewarden list`; for an application of yours, mend its password and allow it.",
        ),
        "cps",
        Query(q.per_second("nodewarden_filter_failures_total", CHOSEN, by="detector"), "{{detector}}"),
    )


def _looked() -> Panel:
    return lines(
        "Lines looked at closely",
        About(
            "Lines that may be failures, by filter: what the matcher could not rule out in its first pass.",
            "more such lines in the log. Far above the failures found, the filter is too wide and costs time.",
            "`nodewarden filter test FILTER LOG` shows what it finds and misses.",
        ),
        "cps",
        Query(q.per_second("nodewarden_filter_candidates_total", CHOSEN, by="detector"), "{{detector}}"),
    )


def _useless() -> Panel:
    return bars(
        "Lines that did not count",
        About(
            "`ignored` an ignoreregex matched; `no address` it names a host; `misdated` a wrong clock or zone; "
            "`outdated` older than findtime; `given up` an expression took too long; `connection forgotten` too many "
            "connections at once to keep each one's address; `network too large` it names more than a /16 or /32.",
            "evidence does not count. `given up` on hostile lines means that an expression must be rewritten.",
            "set `timezone` of the detector for `misdated`; `nodewarden filter test` for the others.",
        ),
        "suffix:/min",
        [Query(q.per_minute(metric, CHOSEN), cause) for cause, metric in _USELESS.items()],
    )


def _unusable() -> Panel:
    return number(
        "Dead filters",
        About(
            "Detectors whose filter or log cannot be used: they find nothing.",
            "a filter's file was changed or a log moved.",
            "`nodewarden status` says which file and line.",
        ),
        Value("unusable", q.add(f"1 - {q.select('nodewarden_filter_up', CHOSEN)}"), "short", NONE_IS_GOOD, 0),
    )
