"""Detectors and thresholds: for the person who tunes."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import known
from dashboards import queries as q
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
        "For tuning: how near ordinary sources come to each threshold, who would be banned, and how fast bans bite.",
        row("", 4, _alerts_now(), _bans_now(), _protected_now(), _over_budget_now(), _time_to_ban(), _floods_now()),
        row("Headroom: how near the busiest source comes to the threshold", 9, _headroom(), _headroom_over_time()),
        row("Every detector, in the time that is shown", 14, _table()),
        *_alerts(),
        *bans_and_filters(),
        more=[variable("detector", "Detector", q.select("nodewarden_detector_maxretry"))],
    )


def _alerts_now() -> Panel:
    return number(
        "Alerts",
        About(
            "Thresholds crossed, by the minute.",
            "sources do what the detectors look for, or thresholds are too low.",
            "see by detector below.",
        ),
        Value("alerts", q.per_minute(_ALERTS, CHOSEN), "suffix:/min", NONE_IS_CALM, 1),
    )


def _bans_now() -> Panel:
    return number(
        "New bans",
        About(
            "Bans that begin, by the minute.",
            "more offenders, or a threshold that hits ordinary users.",
            "`nodewarden list --sort since` and look at who they are.",
        ),
        Value("bans", q.per_minute(DECISIONS, 'verdict="ban"', CHOSEN), "suffix:/min", NONE_IS_CALM, 1),
    )


def _protected_now() -> Panel:
    return number(
        "Allowlisted",
        About(
            "Alerts about somebody on the allowlist, in the time shown: they are not banned.",
            "something of yours looks like an attacker: it is broken, abused, or the threshold is too low for it.",
            "the log names it: `journalctl -u nodewarden | grep 'not banning'`.",
        ),
        Value("protected", q.during(DECISIONS, 'verdict="allowlisted"', CHOSEN), "short", NONE_IS_CALM, 0),
    )


def _over_budget_now() -> Panel:
    return number(
        "Over budget",
        About(
            "Bans that were only observed because there were more than `bans.budget.bans_per_minute`, in the time "
            "shown.",
            "so many bans at once are rather a mistake than an attack: whoever offended goes free.",
            "`nodewarden list --observed`: if it is an attack, raise the budget; if not, the threshold.",
        ),
        Value("over budget", q.during("nodewarden_budget_refused_total"), "short", NONE_IS_GOOD, 0),
    )


def _time_to_ban() -> Panel:
    return number(
        "Time to ban",
        About(
            "How long 95 of 100 bans took at most, from the event that crossed the threshold to the kernel's set.",
            "attackers have that much longer. The guard is busy, or the kernel's tables are locked by others.",
            "see lag and processor in *The guard itself*; does something else rewrite nftables rules all the time?",
        ),
        Value("time to ban", q.quantile(0.95, LATENCY, "$__range"), "s", ((None, GOOD), (2.5, WARN), (10, BAD))),
    )


def _floods_now() -> Panel:
    return number(
        "Floods",
        About(
            "Alerts about nobody in particular, in the time shown: first packets whose sources are probably forged.",
            "somebody floods the node. Nobody can be banned for it.",
            "is `net.ipv4.tcp_syncookies` 1? Is the service meant to be reached from everywhere?",
        ),
        Value("floods", q.during("nodewarden_detector_floods_total", CHOSEN), "short", NONE_IS_GOOD, 0),
    )


def _headroom() -> Panel:
    return gauges(
        "Busiest source now",
        About(
            "How far the busiest source of the last minute or two came: 100 % is the threshold. Of the node where it "
            "is most.",
            "ordinary sources come near the threshold, and the next busy day will ban them; or an attacker is at work.",
            "if `nodewarden list --observed` shows yours, raise `maxretry` until they stay below half.",
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
            "The same over time; the dashed line is the threshold, crossing it is an alert.",
            "a daily wave that nears the line is your own traffic; a lone peak through it is an offender.",
            "set `maxretry` between the two: above the waves, below the peaks.",
        ),
        "percentunit",
        Query(q.most(q.select(_BUSIEST, CHOSEN), "detector"), "{{detector}}"),
        limit=1.0,
    )


def _table() -> Panel:
    name = "detector"
    enforcing = q.most(q.select("nodewarden_detector_mode", 'mode="enforce"', CHOSEN), name)
    return grid(
        "Detectors",
        About(
            "Thresholds as configured (the highest of the chosen nodes), and what came of them in the time shown.",
            "in *Alerts* without *Bans* a detector that observes, or offenders that are banned already; in *Window*: "
            "it forgets early.",
            "before you let a detector enforce: does anybody appear in *Would ban* who is yours?",
        ),
        (Key("detector", "Detector", 150),),
        (
            Column("Mode", enforcing, words=(("0", "observe"), ("1", "enforce"))),
            Column("maxretry", q.most(q.select("nodewarden_detector_maxretry", CHOSEN), name), decimals=0),
            Column("findtime", q.most(q.select("nodewarden_detector_findtime_seconds", CHOSEN), name), "s"),
            Column("bantime", q.most(q.select("nodewarden_detector_bantime_seconds", CHOSEN), name), "s"),
            Column("Busiest", q.most(q.select(_BUSIEST, CHOSEN), name), "percentunit", _HEADROOM, 0),
            Column("Alerts", q.during(_ALERTS, CHOSEN, by=name), steps=NONE_IS_CALM, decimals=0),
            Column("Bans", q.during(DECISIONS, 'verdict="ban"', CHOSEN, by=name), decimals=0),
            Column("Would ban", q.during(DECISIONS, 'verdict="observe"', CHOSEN, by=name), decimals=0),
            Column("Seen twice", q.during("nodewarden_detector_agreements_total", CHOSEN, by=name), decimals=0),
            Column(
                "Forgotten",
                q.during("nodewarden_detector_evicted_keys_total", CHOSEN, by=name),
                steps=NONE_IS_GOOD,
                decimals=0,
            ),
            Column("Window", q.most(_WINDOW_USE, name), "percentunit", ((None, GOOD), (0.8, WARN), (1, BAD)), 0),
        ),
        sort_by="Alerts",
    )


def _alerts() -> tuple[Row, ...]:
    return (
        row("Alerts, and what became of them", 8, _by_mode(), _by_strength(), widths=(14, 10)),
        row("", 8, _enforced(), _verdicts()),
    )


def _by_mode() -> Panel:
    return bars(
        "Alerts by detector and mode",
        About(
            "How often each detector fired: `enforce` bans, `observe` only notes whom it would have banned.",
            "more offences, or a threshold too low. Observing detectors with many alerts are not ready to enforce.",
            "compare with the busiest source: many alerts of many sources are a threshold's fault.",
        ),
        "suffix:/min",
        Query(q.in_force_mode(q.per_minute(_ALERTS, CHOSEN, by="detector, mode")), "{{detector}} ({{mode}})"),
        table=("mean", "max"),
    )


def _by_strength() -> Panel:
    return bars(
        "Alerts by strength of evidence",
        About(
            "`proven`: a handshake or an application's log names the source. `spoofable`: anybody could have forged "
            "it, so it is only shunned. `destination`: about whom the node calls.",
            "in `spoofable` scans and floods; in `proven` logins and connections that really happened.",
            "treat proven ones as persons, spoofable ones as weather.",
        ),
        "suffix:/min",
        known.alerts_by_strength(CHOSEN),
    )


def _enforced() -> Panel:
    return bars(
        "Banned, or only observed",
        About(
            "New bans beside those that would have been, because the detector observes or the budget is spent.",
            "in `only observed` what enforcing would do to the node; in `over budget`: offenders go free.",
            "`nodewarden list --observed` for a day; if nobody of yours is there, set `mode: enforce`.",
        ),
        "suffix:/min",
        known.verdicts(CHOSEN)[known.NEW],
    )


def _verdicts() -> Panel:
    return bars(
        "Everything else that was decided",
        About(
            "`banned already` a ban in force does it, or lasts longer; `protected` somebody on the allowlist; `too "
            "late` it would have ended already; `no room` for more bans.",
            "in `banned already`: banned sources go on; in `no room`: offenders go free.",
            "for `no room` raise `bans.max_bans`; for `protected` see who it is in the log.",
        ),
        "suffix:/min",
        known.verdicts(CHOSEN)[known.NEW.stop :],
    )
