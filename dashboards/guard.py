"""Guard health: completeness of evidence, effect of bans, cost."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import queries as q
from dashboards.aggregates import PROBLEMS
from dashboards.board import Row, board, row
from dashboards.guard_audit import audits
from dashboards.guard_cost import costs
from dashboards.guard_crowdsec import exchange
from dashboards.guard_lists import block_lists
from dashboards.guard_notify import notifications
from dashboards.guard_reading import readings
from dashboards.panels import BAD, GOOD, NONE_IS_GOOD, WARN, About, Value, bars, card, lines, steps
from dashboards.queries import Query


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "guard",
        "Guard health",
        "Is evidence complete, are bans effective, and what does the guard cost?",
        row("", 6, _seeing(), _biting(), _kept()),
        row("", 6, _problems()),
        *readings(),
        *_holding(),
        *exchange(),
        audits(),
        *costs(),
        *_upkeep(),
    )


def _seeing() -> Panel:
    return card(
        "Is evidence complete?",
        About(
            "Nodes whose guard does not respond; required sources that cannot be read; records lost before they were "
            "read; age of the last event when it was read, of the slowest source.",
            "The guard is blind or late on that source. Existing bans stay in force, but new attacks may go "
            "undetected.",
            "Run `systemctl status nodewarden` on nodes without guard and `nodewarden status` on all others: it names "
            "what is missing.",
        ),
        Value("Nodes without guard", q.add(f"1 - {q.select('up')}"), "short", NONE_IS_GOOD, 0),
        Value("Sources lost", q.LOST_SOURCES, "short", NONE_IS_GOOD, 0),
        Value("Records lost", q.per_second("nodewarden_source_lost_records_total"), "cps", NONE_IS_GOOD),
        Value("Lag", q.most(q.select("nodewarden_source_lag_seconds")), "s", ((None, GOOD), (2, WARN), (10, BAD))),
    )


def _problems() -> Panel:
    return bars(
        "Problems that status reports",
        About(
            "Nodes on which `nodewarden status` reports a problem, by the kind of problem.",
            "A node is not guarded as it should be. The kind tells what it is about, the alert NodewardenProblem the "
            "node.",
            "Run `nodewarden status` on the node: it names the problem and the remedy.",
        ),
        "short",
        Query(q.now(PROBLEMS, by="kind"), "{{kind}}"),
    )


def _biting() -> Panel:
    return card(
        "Are bans effective?",
        About(
            "Nodes without the table `inet nodewarden`; tables that cannot be repaired or compared; packets from "
            "banned sources that got past it; in the time range shown, bans that the kernel refused and foreign "
            "changes to the table that were repaired.",
            "Bans have no effect: something flushes, edits or bypasses the rules.",
            "Check `nft list table inet nodewarden`; find the writer with `nft monitor`; look for a flowtable or "
            "another XDP program that bypasses the table.",
        ),
        Value("Tables missing", q.add(f"1 - {q.select('nodewarden_table_up')}"), "short", NONE_IS_GOOD, 0),
        Value("Table faults", q.add(q.select("nodewarden_table_fault")), "short", NONE_IS_GOOD, 0),
        Value("Leaks", q.per_second("nodewarden_leaked_packets_total"), "pps", NONE_IS_GOOD),
        Value("Bans refused", q.during("nodewarden_ban_failures_total"), "short", NONE_IS_GOOD, 0),
        Value("Changes repaired", q.during("nodewarden_table_drift_total"), "short", ((None, GOOD), (1, WARN)), 0),
    )


def _kept() -> Panel:
    faulty = q.add(f"1 - {q.select('nodewarden_config_last_reload_successful')}")
    return card(
        "Are state and configuration sound?",
        About(
            "Nodes that cannot write to disk; nodes whose last reload failed; filters that cannot be used; in the time "
            "range shown, batches of events lost to an internal error and failed calls of decision listeners.",
            "A reboot would lose bans, a changed configuration is not in force, a log is not understood, or there is "
            "a bug.",
            "Free disk space; `nodewarden config check` names file and line; report internal errors with their trace: "
            "`journalctl -u nodewarden -p err`.",
        ),
        Value("Nodes not saving", q.add(f"1 - {q.select('nodewarden_state_saving')}"), "short", NONE_IS_GOOD, 0),
        Value("Failed reloads", faulty, "short", NONE_IS_GOOD, 0),
        Value("Unusable filters", q.add(f"1 - {q.select('nodewarden_filter_up')}"), "short", NONE_IS_GOOD, 0),
        Value("Internal errors", q.during("nodewarden_internal_errors_total"), "short", NONE_IS_GOOD, 0),
        Value("Failed listeners", q.during("nodewarden_listener_errors_total"), "short", NONE_IS_GOOD, 0),
    )


def _holding() -> tuple[Row, ...]:
    return (
        row("Bans in nftables", 8, _table(), _bulk()),
        block_lists(),
        notifications(),
        row("Tampering, leaks and failures (empty while all is well)", 8, *_failures(), is_folded=True),
    )


def _failures() -> tuple[Panel, ...]:
    return _changes(), _passed(), _troubles(), _listeners()


def _changes() -> Panel:
    return bars(
        "Foreign changes to the table",
        About(
            "Changes to the table by other programs, by kind; all were detected and repaired.",
            "Something flushes nftables (`nft flush ruleset` when a firewall reloads) or tampers with the table.",
            "Find the writer with `nft monitor`; make the other firewall flush only its own table.",
        ),
        "short",
        Query(q.events("nodewarden_table_drift_total", by="kind"), "{{kind}}"),
    )


def _passed() -> Panel:
    return bars(
        "Packets from banned sources that passed",
        About(
            "Packets from banned sources that got past the table, by the hook that saw them.",
            "A ban has no effect.",
            "Check whether a flowtable or an XDP program bypasses the table, and whether its rules are in place.",
        ),
        "short",
        Query(q.events("nodewarden_leaked_packets_total", by="hook"), "{{hook}}"),
    )


def _troubles() -> Panel:
    return bars(
        "Failed bans and cut connections",
        About(
            "`refused by the kernel`: bans that could not be set. `not in XDP`: bans that did not fit into the XDP "
            "map; nftables alone enforces them. `connections cut`: open connections of proven offenders that were "
            "ended; `cuts incomplete`: not all.",
            "`refused by the kernel`: offenders are not banned. `connections cut`: proven offenders were connected."
            " `cuts incomplete`: conntrack entries remain, though their packets drop.",
            "`refused by the kernel`, `cuts incomplete`: the log names the reason. `not in XDP`: the map is full.",
        ),
        "short",
        (
            Query(q.events("nodewarden_ban_failures_total"), "refused by the kernel"),
            Query(q.or_none(q.events("nodewarden_xdp_missing_bans_total")), "not in XDP"),
            Query(q.events("nodewarden_connections_cut_total"), "connections cut"),
            Query(q.events("nodewarden_connections_cut_incomplete_total"), "cuts incomplete"),
        ),
    )


def _table() -> Panel:
    return steps(
        "Tables in place",
        About(
            "Nodes whose table is known to be in place, and how often tables were set up in total.",
            "`set up so far` beyond one per start: the table had vanished. If `in place` falls, a node is unprotected.",
            "Run `nodewarden status` on that node and find out what removes the table.",
        ),
        "short",
        (
            Query(q.now("nodewarden_table_up"), "in place"),
            Query(q.now("nodewarden_table_setups_total"), "set up so far"),
        ),
    )


def _bulk() -> Panel:
    return lines(
        "Bans held by imports, lists and peers",
        About(
            "Bans that only imports, lists and peers claim, and their limit, on the ten nodes with most.",
            "An import or a list was loaded. At the limit further entries are refused; detectors and operators keep "
            "their reserve.",
            "Raise `bans.max_bans`, or import shorter lists.",
        ),
        "short",
        (
            Query(q.highest(q.select("nodewarden_bulk_bans")), "{{instance}}"),
            Query(q.highest(q.select("nodewarden_bulk_bans_limit")), "{{instance}} limit"),
        ),
    )


def _listeners() -> Panel:
    return bars(
        "Listener errors",
        About(
            "Failed calls of decision listeners (log, store, event stream), by listener.",
            "A bug in nodewarden. Bans are not affected, but this listener missed decisions.",
            "Report the trace: `journalctl -u nodewarden -p err`.",
        ),
        "short",
        Query(q.events("nodewarden_listener_errors_total", by="listener"), "{{listener}}"),
    )


def _upkeep() -> tuple[Row, ...]:
    return (
        row("State and configuration", 7, _state(), _pending(), _reloads(), is_folded=True),
        row("", 6, _versions(), _allowed(), _recording()),
    )


def _state() -> Panel:
    return lines(
        "State on disk",
        About(
            "Rows written, failed write attempts, and offences and ends of bans dropped because the disk failed for "
            "too long.",
            "More bans. `failed attempts`: the disk is full or faulty.",
            "Free disk space; see *Are state and configuration sound?*.",
        ),
        "cps",
        (
            Query(q.per_second("nodewarden_state_written_rows_total"), "written"),
            Query(q.per_second("nodewarden_state_failures_total"), "failed attempts"),
            Query(q.per_second("nodewarden_state_dropped_offences_total"), "offences dropped"),
            Query(q.per_second("nodewarden_state_dropped_removals_total"), "ends of bans dropped"),
            Query(q.per_second("nodewarden_state_copy_failures_total"), "failed copies"),
        ),
    )


def _pending() -> Panel:
    return lines(
        "Unsaved changes",
        About(
            "Changes that a crash of the machine would lose, on the ten nodes with most.",
            "Many bans at once, or a slow disk. It falls back within seconds on a healthy node.",
            "If it does not, see *State on disk*.",
        ),
        "short",
        Query(q.highest(q.select("nodewarden_state_pending_changes")), "{{instance}}"),
    )


def _reloads() -> Panel:
    return bars(
        "Configuration reloads",
        About(
            "Reloads of the configuration, by result.",
            "The configuration is being changed. After a failed reload the old one stays in force.",
            "Run `nodewarden config check`.",
        ),
        "short",
        Query(q.events("nodewarden_config_reloads_total", by="result"), "{{result}}"),
    )


def _versions() -> Panel:
    return steps(
        "Nodes by version",
        About(
            "Number of nodes that run each version.",
            "A rollout. Two versions for long mean that it is stuck.",
            "Update the remaining nodes.",
        ),
        "short",
        Query(f"count by (version) ({q.select('nodewarden_build_info')})", "{{version}}"),
    )


def _allowed() -> Panel:
    return steps(
        "Networks never banned",
        About(
            "Size of the allowlist on the ten nodes with most entries: configured, detected on the node, and added by "
            "command.",
            "More networks are exempt. A sudden rise means that cluster networks or administrator sessions were added.",
            "`nodewarden allow list` shows each entry and its reason.",
        ),
        "short",
        Query(q.highest(q.select("nodewarden_allowlist_networks")), "{{instance}}"),
    )


def _recording() -> Panel:
    return lines(
        "Recording",
        About(
            "Events written to the recording, those of floods that are only counted in it, and those missing by cause.",
            "More events. `only counted`: a flood of sources that led to nothing. `missing`: the disk is full or slow.",
            "Free disk space below the state directory; see `nodewarden record info`.",
        ),
        "cps",
        (
            Query(q.per_second("nodewarden_recording_events_total"), "written"),
            Query(q.per_second("nodewarden_recording_only_counted_total"), "only counted"),
            Query(q.per_second("nodewarden_recording_lost_total", by="cause"), "missing: {{cause}}"),
        ),
    )
