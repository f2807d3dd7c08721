"""Detectors and thresholds: for tuning."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import known
from dashboards import queries as q
from dashboards.aggregates import NEAR
from dashboards.board import Row, board, row, variable
from dashboards.detector_bans import CHOSEN, DECISIONS, LATENCY, bans_and_filters
from dashboards.panels import (
    BAD,
    GOOD,
    NONE_IS_CALM,
    NONE_IS_GOOD,
    WARN,
    WATCH,
    About,
    Value,
    bars,
    gauges,
    lines,
    number,
)
from dashboards.queries import Query
from dashboards.shadow_thresholds import shadow_thresholds
from dashboards.tables import Column, Key, grid

_ALERTS = "nodewarden_detector_alerts_total"
_BUSIEST = "nodewarden_detector_busiest_ratio"
_WINDOW_USE = (
    f"{q.select('nodewarden_detector_window_entries', CHOSEN)}"
    f" / ({q.select('nodewarden_detector_window_entries_limit', CHOSEN)} > 0)"
)
_HEADROOM = ((None, GOOD), (0.5, WATCH), (0.8, WARN), (1.0, BAD))


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "detectors",
        "Detectors and thresholds",
        "For tuning thresholds: how close ordinary sources come, what would be banned, how fast bans take effect.",
        row("", 4, _alerts_now(), _bans_now(), _protected_now(), _over_budget_now(), _time_to_ban(), _floods_now()),
        row("Headroom: busiest source as a share of the threshold", 9, _headroom(), _headroom_over_time()),
        *_alerts(),
        row("All detectors, in the time range shown", 8, _outcomes()),
        row("", 14, _thresholds()),
        *shadow_thresholds(),
        *bans_and_filters(),
        more=[variable("detector", "Detector", q.select("nodewarden_detector_maxretry"))],
    )


def _alerts_now() -> Panel:
    return number(
        "Alerts in 15 min",
        About(
            "Thresholds crossed within the last quarter of an hour.",
            "Sources show the behaviour that the detectors look for, or thresholds are too low.",
            "See *Alerts by detector and mode*.",
        ),
        Value("alerts", q.recent(_ALERTS, CHOSEN), "short", NONE_IS_CALM, 0),
    )


def _bans_now() -> Panel:
    return number(
        "New bans in 15 min",
        About(
            "New bans within the last quarter of an hour, enforced ones only.",
            "More offenders, or a threshold that ordinary users cross.",
            "Run `nodewarden list --sort since` and check the addresses.",
        ),
        Value("bans", q.recent(DECISIONS, 'verdict="ban"', CHOSEN), "short", NONE_IS_CALM, 0),
    )


def _protected_now() -> Panel:
    return number(
        "Allowlisted",
        About(
            "Alerts about allowlisted sources in the time range shown: they are not banned.",
            "One of your systems behaves like an attacker: it is broken or compromised, or the threshold is too low "
            "for it.",
            "The log names it: `journalctl -u nodewarden | grep 'not banning'`.",
        ),
        Value("allowlisted", q.during(DECISIONS, 'verdict="allowlisted"', CHOSEN), "short", NONE_IS_CALM, 0),
    )


def _over_budget_now() -> Panel:
    return number(
        "Over budget",
        About(
            "Bans in the time range shown that were only observed because `bans.budget.bans_per_minute` was exceeded.",
            "That many bans at once are more likely a mistake than an attack. These offenders are not banned.",
            "Run `nodewarden list --observed`. If it is an attack, raise the budget; if not, raise the threshold.",
        ),
        Value("over budget", q.during("nodewarden_budget_refused_total"), "short", NONE_IS_GOOD, 0),
    )


def _time_to_ban() -> Panel:
    return number(
        "Time to ban",
        About(
            "95th percentile of the time from the event that crossed the threshold to the element in the kernel's set.",
            "Attackers have that much more time. The guard is busy, or other programs lock the kernel's tables.",
            "See lag and CPU time in *Guard health*; check whether another program keeps rewriting nftables rules.",
        ),
        Value("time to ban", q.quantile(0.95, LATENCY, "$__range"), "s", ((None, GOOD), (2.5, WARN), (10, BAD))),
    )


def _floods_now() -> Panel:
    return number(
        "Floods",
        About(
            "Flood alerts in the time range shown: first packets whose sources are probably forged.",
            "The node is being flooded. There is no source to ban.",
            "Check that `net.ipv4.tcp_syncookies` is 1, and whether the service must be reachable from everywhere.",
        ),
        Value("floods", q.during("nodewarden_detector_floods_total", CHOSEN), "short", NONE_IS_GOOD, 0),
    )


def _headroom() -> Panel:
    return gauges(
        "Busiest source now",
        About(
            "Highest count of any source in the last one to two minutes as a share of the threshold, on the node "
            "where it is highest.",
            "Ordinary sources come close to the threshold and will be banned on a busier day, or an attack is under "
            "way.",
            "If `nodewarden list --observed` shows your own systems, raise `maxretry` until they stay below 50 %.",
        ),
        "percentunit",
        Query(f"sort_desc({q.most(q.select(_BUSIEST, CHOSEN), 'detector')})", "{{detector}}"),
        _HEADROOM,
        1.0,
    )


def _headroom_over_time() -> Panel:
    return lines(
        "Busiest source over time",
        About(
            "The same over time, from a fifth of the threshold on. The dashed line is the threshold; crossing it is an "
            "alert.",
            "A daily wave close to the line is your own traffic; a single peak through it is an offender.",
            "Set `maxretry` above the waves and below the peaks.",
        ),
        "percentunit",
        Query(q.most(q.select(NEAR, CHOSEN), "detector"), "{{detector}}"),
        limit=1.0,
        nothing="no source came as far as a fifth of a threshold",
    )


def _thresholds() -> Panel:
    name = "detector"
    enforcing = q.most(q.select("nodewarden_detector_mode", 'mode="enforce"', CHOSEN), name)
    return grid(
        "Thresholds",
        About(
            "Thresholds as configured (the highest of the selected nodes); how close the busiest source came in the "
            "last one to two minutes; how full the window is; in the time range shown, entries evicted "
            "early and alerts whose offence a second source reported as well.",
            "*Busiest* near 100 %: ordinary sources come close. *Window* near 100 %: entries are evicted early, and "
            "slow offenders go undetected.",
            "Set `maxretry` so that your own traffic stays below 50 %; raise `max_entries` where entries are evicted.",
        ),
        (Key("detector", "Detector", 150),),
        (
            Column("Mode", enforcing, words=(("0", "observe"), ("1", "enforce"))),
            Column("maxretry", q.most(q.select("nodewarden_detector_maxretry", CHOSEN), name), decimals=0),
            Column("findtime", q.most(q.select("nodewarden_detector_findtime_seconds", CHOSEN), name), "s"),
            Column("bantime", q.most(q.select("nodewarden_detector_bantime_seconds", CHOSEN), name), "s"),
            Column("Busiest", q.most(q.select(_BUSIEST, CHOSEN), name), "percentunit", _HEADROOM, 0),
            Column("Window", q.most(_WINDOW_USE, name), "percentunit", ((None, GOOD), (0.8, WARN), (1, BAD)), 0),
            Column(
                "Evicted",
                q.during_by_detector("nodewarden_detector_evicted_keys_total", CHOSEN),
                steps=NONE_IS_GOOD,
                decimals=0,
            ),
            Column("Corroborated", q.during_by_detector("nodewarden_detector_agreements_total", CHOSEN), decimals=0),
        ),
        sort_by="Busiest",
    )


_OUTCOMES = (
    ("Banned", "ban", ()),
    ("Would ban", "observe", ()),
    ("Over budget", "over_budget", NONE_IS_GOOD),
    ("Already", "refresh|claim|covered", ()),
    ("Allowlisted", "allowlisted", NONE_IS_CALM),
    ("Not banned", "stale|full|refused", NONE_IS_GOOD),
)
"""What becomes of an alert: together with floods, which have no source to ban, all there is."""


def _outcomes() -> Panel:
    outcomes = [
        Column(title, q.during_by_detector(DECISIONS, f'verdict=~"{which}"', CHOSEN), steps=steps, decimals=0)
        for title, which, steps in _OUTCOMES
    ]
    return grid(
        "What became of the alerts",
        About(
            "Alerts of each detector in the time range shown, and what became of them: the columns after *Alerts* "
            "add up to it. *Floods* have no source that could be banned. *Already*: a ban in force covers it. *Not "
            "banned*: there was no room, the kernel refused, or the ban would already have ended. `recidive`, `prefix` "
            "and `manual` are bans that follow from others or from an order, without an alert.",
            "Sources show what the detector looks for, or its threshold is too low. *Over budget*, *Not banned*: "
            "offenders are not banned.",
            "Before you let a detector enforce, check *Would ban* for your own systems: `nodewarden list --observed`.",
        ),
        (Key("detector", "Detector", 150),),
        (
            Column("Alerts", q.during_by_detector(_ALERTS, CHOSEN), steps=NONE_IS_CALM, decimals=0),
            *outcomes,
            Column(
                "Floods",
                q.during_by_detector("nodewarden_detector_floods_total", CHOSEN),
                steps=NONE_IS_GOOD,
                decimals=0,
            ),
        ),
        sort_by="Alerts",
        nothing="no alerts in the time shown",
    )


def _alerts() -> tuple[Row, ...]:
    return (
        row("Alerts and decisions", 8, _by_mode(), _by_strength(), widths=(14, 10)),
        row("", 8, _enforced(), _verdicts()),
    )


def _by_mode() -> Panel:
    return bars(
        "Alerts by detector and mode",
        About(
            "How often each detector fired: `enforce` bans, `observe` only records what it would have banned.",
            "More offences, or a threshold that is too low. An observing detector with many alerts is not ready to "
            "enforce.",
            "Compare with *Busiest source now*: many alerts of many sources point to the threshold.",
        ),
        "short",
        Query(q.events(_ALERTS, CHOSEN, by="detector, mode"), "{{detector}} ({{mode}})"),
        table=("sum",),
        examples=q.examples(_ALERTS, CHOSEN),
    )


def _by_strength() -> Panel:
    return bars(
        "Alerts by strength of evidence",
        About(
            "`proven`: a handshake or an application's log identifies the source. `spoofable`: the source could be "
            "forged, so it is only shunned. `destination`: about a destination that the node calls.",
            "`spoofable`: scans and floods. `proven`: logins and connections that took place.",
            "Investigate proven sources one by one; treat spoofable ones as background noise.",
        ),
        "short",
        known.alerts_by_strength(CHOSEN),
    )


def _enforced() -> Panel:
    return bars(
        "New bans, enforced or observed",
        About(
            "New bans, alongside those not enforced because the detector observes or the budget is exhausted.",
            "`observed`: what enforcing would do to the node. `over budget`: offenders are not banned.",
            "Watch `nodewarden list --observed` for a day; if none of your systems appears, set `mode: enforce`.",
        ),
        "short",
        known.verdicts(CHOSEN)[known.NEW],
    )


def _verdicts() -> Panel:
    return bars(
        "Other decisions",
        About(
            "`already banned`: a ban in force covers it, or is extended. `allowlisted`: never banned. `expired`: the "
            "ban would already have ended. `at capacity`: `bans.max_bans` is reached.",
            "`already banned`: banned sources continue. `at capacity`: offenders are not banned.",
            "For `at capacity` raise `bans.max_bans`; for `allowlisted` the log names the source.",
        ),
        "short",
        known.verdicts(CHOSEN)[known.NEW.stop :],
    )
