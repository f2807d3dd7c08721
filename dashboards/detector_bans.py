"""Bans and log filters, for tuning thresholds."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import known
from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.heat_maps import heat_map
from dashboards.panels import NONE_IS_GOOD, About, Value, bars, lines, number, steps
from dashboards.queries import Query

CHOSEN = 'detector=~"$detector"'
DECISIONS = "nodewarden_decisions_total"
LATENCY = "nodewarden_ban_latency_seconds"

_USELESS = {
    "ignored": "nodewarden_filter_ignored_total",
    "no address": "nodewarden_filter_unusable_total",
    "misdated": "nodewarden_filter_misdated_total",
    "outdated": "nodewarden_filter_outdated_total",
    "stale": "nodewarden_filter_stale_total",
    "timed out": "nodewarden_filter_timeouts_total",
    "skipped": "nodewarden_filter_skipped_total",
    "connection forgotten": "nodewarden_filter_evicted_total",
    "network too large": "nodewarden_detector_ignored_networks_total",
}


def bans_and_filters() -> tuple[Row, ...]:
    """Return the rows that `Detectors and thresholds` shows of them."""
    return (
        row("Bans", 8, _speed(), _forced(), _ended(), is_folded=True),
        row("", 8, _sets(), _classes(), _budget(), _windows()),
        row("Log filters", 7, _found(), _looked(), _useless(), _unusable(), widths=(7, 7, 6, 4), is_folded=True),
    )


def _speed() -> Panel:
    return heat_map(
        "Time to ban, distribution",
        About(
            "Time from the event that crossed the threshold to the element in the kernel's set; brighter means more "
            "bans.",
            "Marks that move up: the guard is late. Milliseconds are normal; for log files, up to a second.",
            "See *Lag by source* and *CPU time* in *Guard health*.",
        ),
        "s",
        Query(q.events(f"{LATENCY}_bucket", by="le"), "{{le}}"),
    )


def _forced() -> Panel:
    return steps(
        "Bans in force",
        About(
            "Bans by strength of evidence. `observed` bans are recorded but not enforced.",
            "More offenders, longer `bantime`, or escalation of repeat offenders.",
            "Run `nodewarden list --sort ends`.",
        ),
        "short",
        known.bans(),
    )


def _ended() -> Panel:
    return bars(
        "Ended bans",
        About(
            "Bans that expired, were lifted by an operator, or ended because their address was allowlisted.",
            "`lifted`, `allowlisted`: these bans were mistakes. Tune thresholds by this number.",
            "`nodewarden why ADDRESS` names the detector that was wrong; raise its `maxretry`.",
        ),
        "short",
        known.bans_ended(),
    )


def _sets() -> Panel:
    return lines(
        "Set usage",
        About(
            "Elements of each set in the kernel as a share of its capacity, on the node where it is fullest. `imports "
            "and lists`: share of the capacity that is open to them.",
            "Bans accumulate. A full set takes no more.",
            "Raise `bans.max_bans`, shorten `bantime` of the detector that fills it, or import fewer lists.",
        ),
        "percentunit",
        known.sets_in_use(),
        limit=0.9,
    )


def _classes() -> Panel:
    return lines(
        "Bans by class",
        About(
            "Bans by who holds them, on the busiest node, and the limit of all that are in force.",
            "`spoofable`: shuns on evidence that anyone can forge. When the limit is reached they yield first.",
            "If `proven` or `list` approaches the limit, raise `bans.max_bans` or import fewer lists.",
        ),
        "short",
        (
            Query(q.most(q.select("nodewarden_bans_by_class"), by="class"), "{{class}}"),
            Query(f"min({q.select('nodewarden_bans_limit')})", "limit"),
        ),
    )


def _budget() -> Panel:
    return lines(
        "Budget of new bans",
        About(
            "New bans per minute on the busiest node, and the lowest budget of any node for each strength.",
            "The budget is nearly exhausted; beyond it bans are only observed.",
            "Decide whether it is an attack or a mistake: `nodewarden list --sort since`.",
        ),
        "suffix:/min",
        (
            Query(q.most(q.during(DECISIONS, 'verdict="ban"', by=q.BY_NODE, window="1m")), "new bans"),
            Query(f"min({q.select('nodewarden_budget_bans_per_minute')})", "budget"),
        ),
    )


def _windows() -> Panel:
    return bars(
        "Early evictions",
        About(
            "Sources that a detector forgot because its window was full: their evidence is lost.",
            "A flood of sources fills the window; slow offenders go undetected.",
            "Raise `max_entries` of the detector that the table *Thresholds* names.",
        ),
        "short",
        (
            Query(q.events("nodewarden_detector_evicted_keys_total", CHOSEN), "all detectors"),
            Query(q.events("nodewarden_detector_missed_keys_total", CHOSEN), "of which slow attackers are missed"),
            Query(q.events("nodewarden_observed_evicted_total", by="strength"), "observed entries, {{strength}}"),
        ),
    )


def _found() -> Panel:
    return lines(
        "Failures found in logs",
        About(
            "Failed logins and similar failures that each filter found.",
            "Someone guesses passwords, or one of your applications has a wrong one.",
            "Run `nodewarden list`. If it is your application, fix its password and allow it.",
        ),
        "cps",
        [
            Query(q.per_second("nodewarden_filter_failures_total", CHOSEN, by="detector"), "{{detector}}"),
            Query(q.per_second("nodewarden_filter_unproven_total", CHOSEN, by="detector"), "{{detector}}, only shuns"),
        ],
    )


def _looked() -> Panel:
    return lines(
        "Candidate lines",
        About(
            "Lines that may be failures, by filter: those that the first pass could not rule out.",
            "More such lines in the log. Far above the failures found, the filter is too broad and costs time.",
            "`nodewarden filter test FILTER LOG` shows what it finds and misses.",
        ),
        "cps",
        Query(q.per_second("nodewarden_filter_candidates_total", CHOSEN, by="detector"), "{{detector}}"),
    )


def _useless() -> Panel:
    return bars(
        "Discarded matches",
        About(
            "`ignored`: an ignoreregex matched. `no address`: it names a host. `misdated`: a wrong clock or time "
            "zone. `outdated`: older than findtime. `stale`: the log was rewritten, or a clock is wrong. "
            "`timed out`: an expression took too long. `skipped`: lines of a "
            "length on which it takes too long. `connection forgotten`: too many connections at once. `network too "
            "large`: larger than a /16 or /32.",
            "Evidence does not count. `timed out` on hostile lines: the expression must be rewritten.",
            "For `misdated` set `timezone` of the detector; for the others run `nodewarden filter test`.",
        ),
        "short",
        [Query(q.events(metric, CHOSEN), cause) for cause, metric in _USELESS.items()],
    )


def _unusable() -> Panel:
    unusable = q.add(f"1 - {q.select('nodewarden_filter_up', CHOSEN)}")
    lost = " + ".join(
        q.add(q.select(f"nodewarden_filter_{name}", CHOSEN)) for name in ("paused", "log_missing", "log_silent")
    )
    return number(
        "Unusable filters",
        About(
            "Detectors whose filter or log cannot be used or is not there: they find nothing. Those whose log yields "
            "no lines although its service runs. Those that skip long lines because their filter takes too long on "
            "them.",
            "A filter file was changed or a log moved.",
            "`nodewarden status` names file and line.",
        ),
        Value("unusable", f"{unusable} + {lost}", "short", NONE_IS_GOOD, 0),
    )
