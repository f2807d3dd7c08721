"""The guard itself: does it see everything, does what it decides hold, and what does it cost."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import queries as q
from dashboards.board import Row, board, row
from dashboards.guard_cost import costs
from dashboards.guard_reading import readings
from dashboards.panels import BAD, GOOD, NONE_IS_GOOD, WARN, About, Value, bars, card, lines, steps
from dashboards.queries import Query


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "guard",
        "The guard itself",
        "Does the guard see everything, does what it decides hold, and what does it cost?",
        row("", 6, _seeing(), _biting(), _kept()),
        *readings(),
        *_holding(),
        *costs(),
        *_upkeep(),
    )


def _seeing() -> Panel:
    return card(
        "Does it see everything?",
        About(
            "Nodes whose guard does not answer; sources that are needed and cannot be read; records lost before "
            "anybody read them; age of the last event when it was read, of the slowest source.",
            "the guard is blind on that side, or late: what is banned stays banned, new attacks may go unnoticed.",
            "`systemctl status nodewarden` on nodes without guard, `nodewarden status` on all others: it says what is "
            "missing.",
        ),
        Value("Nodes without guard", q.add(f"1 - {q.select('up')}"), "short", NONE_IS_GOOD, 0),
        Value("Sources lost", q.LOST_SOURCES, "short", NONE_IS_GOOD, 0),
        Value("Records lost", q.per_second("nodewarden_source_lost_records_total"), "cps", NONE_IS_GOOD),
        Value("Lag", q.most(q.select("nodewarden_source_lag_seconds")), "s", ((None, GOOD), (2, WARN), (10, BAD))),
    )


def _biting() -> Panel:
    return card(
        "Does it hold?",
        About(
            "Nodes without our table; packets of banned sources that passed it all the same; and, in the time shown, "
            "bans that the kernel refused and changes of others to the table that were put back.",
            "bans do not bite: something flushes our rules, edits them, or goes around them.",
            "`nft list table inet nodewarden`; find who it is with `nft monitor`; does a flowtable or another XDP "
            "program go around the table?",
        ),
        Value("Tables missing", q.add(f"1 - {q.select('nodewarden_table_up')}"), "short", NONE_IS_GOOD, 0),
        Value("Leaks", q.per_second("nodewarden_leaked_packets_total"), "pps", NONE_IS_GOOD),
        Value("Bans refused", q.during("nodewarden_ban_failures_total"), "short", NONE_IS_GOOD, 0),
        Value("Tampering mended", q.during("nodewarden_table_drift_total"), "short", ((None, GOOD), (1, WARN)), 0),
    )


def _kept() -> Panel:
    faulty = q.add(f"1 - {q.select('nodewarden_config_last_reload_successful')}")
    return card(
        "Is it kept well?",
        About(
            "Nodes that cannot write to disk; nodes whose last reload failed; filters that cannot be used; and "
            "batches of events lost to a fault of our own in the time shown.",
            "a restart would forget bans, a changed configuration is not in force, a log is not understood, or there "
            "is a bug.",
            "free the disk; `nodewarden config check` names file and line; report faults with their trace: "
            "`journalctl -u nodewarden -p err`.",
        ),
        Value("Nodes not saving", q.add(f"1 - {q.select('nodewarden_state_saving')}"), "short", NONE_IS_GOOD, 0),
        Value("Faulty configurations", faulty, "short", NONE_IS_GOOD, 0),
        Value("Unusable filters", q.add(f"1 - {q.select('nodewarden_filter_up')}"), "short", NONE_IS_GOOD, 0),
        Value("Faults of our own", q.during("nodewarden_internal_errors_total"), "short", NONE_IS_GOOD, 0),
    )


def _holding() -> tuple[Row, ...]:
    return (row("What happens to the table", 8, _changes(), _passed(), _troubles(), _table()),)


def _changes() -> Panel:
    return bars(
        "Changes of others to our table",
        About(
            "By kind; all were noticed and mended.",
            "somebody flushes nftables (`nft flush ruleset` at a firewall's reload), or tampers.",
            "find who: `nft monitor`; make the other firewall flush only its own table.",
        ),
        "suffix:/min",
        Query(q.per_minute("nodewarden_table_drift_total", by="kind"), "{{kind}}"),
    )


def _passed() -> Panel:
    return bars(
        "Packets of banned sources that passed",
        About(
            "By the hook that saw them behind our table.",
            "a ban does not bite.",
            "does a flowtable or an XDP program go around the table? Are our rules there?",
        ),
        "pps",
        Query(q.per_second("nodewarden_leaked_packets_total", by="hook"), "{{hook}}"),
    )


def _troubles() -> Panel:
    return bars(
        "Bans that failed, and connections that were cut",
        About(
            "`refused by the kernel`: bans that could not be put in place. `did not fit in front`: the table alone "
            "stops those. `connections cut`: what proven offenders had open was closed; `cuts incomplete`: not all.",
            "in `refused`: offenders go free; in `cut`: proven offenders were connected; in `incomplete`: entries of "
            "theirs stay in the connection table, though their packets drop.",
            "for `refused` and `incomplete` the log says which and why; for the front, its map is full.",
        ),
        "suffix:/min",
        (
            Query(q.per_minute("nodewarden_ban_failures_total"), "refused by the kernel"),
            Query(q.or_none(q.per_minute("nodewarden_xdp_missing_bans_total")), "did not fit in front"),
            Query(q.per_minute("nodewarden_connections_cut_total"), "connections cut"),
            Query(q.per_minute("nodewarden_connections_cut_incomplete_total"), "cuts incomplete"),
        ),
    )


def _table() -> Panel:
    return steps(
        "Tables in place",
        About(
            "Nodes whose table is known to be in place, and how often tables were set up in all.",
            "in `set up so far`, beyond one a start: the table had vanished. If `in place` falls, a node is without "
            "protection.",
            "`nodewarden status` there; who removes it?",
        ),
        "short",
        (
            Query(q.now("nodewarden_table_up"), "in place"),
            Query(q.now("nodewarden_table_setups_total"), "set up so far"),
        ),
    )


def _upkeep() -> tuple[Row, ...]:
    return (row("Upkeep", 7, _state(), _pending(), _reloads()), row("", 6, _versions(), _allowed()))


def _state() -> Panel:
    return lines(
        "State on disk",
        About(
            "Rows written, attempts that failed, and offences and ends of bans never written because the disk failed "
            "too long.",
            "more bans; in `failed`: the disk is full or broken.",
            "free the disk; see *Is it kept well?*.",
        ),
        "cps",
        (
            Query(q.per_second("nodewarden_state_written_rows_total"), "written"),
            Query(q.per_second("nodewarden_state_failures_total"), "failed attempts"),
            Query(q.per_second("nodewarden_state_dropped_offences_total"), "offences given up"),
            Query(q.per_second("nodewarden_state_dropped_removals_total"), "ends of bans given up"),
        ),
    )


def _pending() -> Panel:
    return lines(
        "Changes not on disk yet",
        About(
            "What a crash of the machine would lose, of the ten nodes with most.",
            "many bans at once, or a slow disk. It falls back within seconds when all is well.",
            "if it does not, see *State on disk*.",
        ),
        "short",
        Query(q.highest(q.select("nodewarden_state_pending_changes")), "{{instance}}"),
    )


def _reloads() -> Panel:
    return bars(
        "Configuration reloads",
        About(
            "Reloads of the configuration by result.",
            "somebody changes the configuration; failures leave the old one in force.",
            "`nodewarden config check`.",
        ),
        "suffix:/min",
        Query(q.per_minute("nodewarden_config_reloads_total", by="result"), "{{result}}"),
    )


def _versions() -> Panel:
    return steps(
        "Nodes by version",
        About(
            "How many nodes run which version.",
            "a roll-out. Two versions for long means that it got stuck.",
            "update the rest.",
        ),
        "short",
        Query(f"count by (version) ({q.select('nodewarden_build_info')})", "{{version}}"),
    )


def _allowed() -> Panel:
    return steps(
        "Networks never banned",
        About(
            "Size of the allowlist, of the ten nodes with most: configured, found on the node, and allowed by command.",
            "more is exempt. A sudden rise means that a cluster's networks, or somebody's sessions, came in.",
            "`nodewarden allow list` says what and why.",
        ),
        "short",
        Query(q.highest(q.select("nodewarden_allowlist_networks")), "{{instance}}"),
    )
