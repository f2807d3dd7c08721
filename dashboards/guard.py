"""The guard itself: does it see everything, does what it decides hold, and what does it cost."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import queries as q
from dashboards.board import Row, board, row
from dashboards.guard_cost import costs
from dashboards.guard_reading import readings
from dashboards.panels import BAD, GOOD, NONE_IS_GOOD, WARN, About, Value, bars, lines, number, steps
from dashboards.queries import Query


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "guard",
        "The guard itself",
        "Does the guard see everything, does what it decides hold, and what does it cost?",
        row("", 4, _up(), _lost_sources(), _lag(), _leaks(), _drift(), _saving(), _reload(), _errors()),
        *readings(),
        *_holding(),
        *costs(),
        *_upkeep(),
    )


def _up() -> Panel:
    return number(
        "Nodes without guard",
        About(
            "Nodes whose guard does not answer to Prometheus.",
            "nobody watches them; bans go on in the kernel until they end.",
            "`systemctl status nodewarden` there.",
        ),
        Value("down", q.add(f"1 - {q.select('up')}"), "short", NONE_IS_GOOD, 0),
    )


def _lost_sources() -> Panel:
    return number(
        "Sources lost",
        About(
            "Sources that something needs and that cannot be read.",
            "the guard is blind on that side.",
            "`nodewarden status` says what is missing.",
        ),
        Value("lost", q.LOST_SOURCES, "short", NONE_IS_GOOD, 0),
    )


def _lag() -> Panel:
    return number(
        "Lag",
        About(
            "Age of the last event when it was read, of the slowest source.",
            "bans come later by as much.",
            "see *Lag by source* and the processor.",
        ),
        Value("lag", q.most(q.select("nodewarden_source_lag_seconds")), "s", ((None, GOOD), (1, WARN), (10, BAD))),
    )


def _leaks() -> Panel:
    return number(
        "Leaks",
        About(
            "Packets of banned sources that passed our table all the same.",
            "bans do not bite: something goes around the table, such as a flowtable or an XDP program.",
            "`nft list table inet nodewarden` and `nft list flowtables`.",
        ),
        Value("leaks", q.per_second("nodewarden_leaked_packets_total"), "pps", NONE_IS_GOOD),
    )


def _drift() -> Panel:
    return number(
        "Tampering mended",
        About(
            "Changes that others made to our table and that were put back, in the time shown.",
            "something else flushes or edits nftables rules.",
            "see *Changes of others*; find who: `nft monitor`.",
        ),
        Value("mended", q.during("nodewarden_table_drift_total"), "short", ((None, GOOD), (1, WARN)), 0),
    )


def _saving() -> Panel:
    return number(
        "Not saving",
        About(
            "Nodes that cannot write bans and history to disk.",
            "a restart there would forget what is not written; bans go on in the kernel.",
            "free the disk; saving goes on by itself.",
        ),
        Value("not saving", q.add(f"1 - {q.select('nodewarden_state_saving')}"), "short", NONE_IS_GOOD, 0),
    )


def _reload() -> Panel:
    return number(
        "Faulty configurations",
        About(
            "Nodes whose last reload failed: they go on with the configuration from before.",
            "what somebody changed is not in force.",
            "`nodewarden config check` there names file and line.",
        ),
        Value("faulty", q.add(f"1 - {q.select('nodewarden_config_last_reload_successful')}"), "short", NONE_IS_GOOD, 0),
    )


def _errors() -> Panel:
    return number(
        "Faults of our own",
        About(
            "Batches of events lost to an internal error, in the time shown.",
            "a bug. What was in the batch is lost, all else goes on.",
            "report it with the trace: `journalctl -u nodewarden -p err`.",
        ),
        Value("faults", q.during("nodewarden_internal_errors_total"), "short", NONE_IS_GOOD, 0),
    )


def _holding() -> tuple[Row, ...]:
    return (row("Does it hold?", 8, _changes(), _passed(), _troubles(), _table()),)


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
            "stops those. `connections cut`: what proven offenders had open was closed.",
            "in `refused` that offenders go free; in `cut` that proven offenders were connected.",
            "for `refused` the log says which and why; for the front, its map is full.",
        ),
        "suffix:/min",
        (
            Query(q.per_minute("nodewarden_ban_failures_total"), "refused by the kernel"),
            Query(q.or_none(q.per_minute("nodewarden_xdp_missing_bans_total")), "did not fit in front"),
            Query(q.per_minute("nodewarden_connections_cut_total"), "connections cut"),
        ),
    )


def _table() -> Panel:
    return steps(
        "Tables in place",
        About(
            "Nodes whose table is known to be in place, and how often tables were set up in all.",
            "of set-ups: at a start one each; more means that the table had vanished. A fall of tables means no "
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
            "Rows written, attempts that failed, and offences never written because the disk failed too long.",
            "more bans; in `failed` that the disk is full or broken.",
            "free the disk; see *Not saving*.",
        ),
        "cps",
        (
            Query(q.per_second("nodewarden_state_written_rows_total"), "written"),
            Query(q.per_second("nodewarden_state_failures_total"), "failed attempts"),
            Query(q.per_second("nodewarden_state_dropped_offences_total"), "offences given up"),
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
