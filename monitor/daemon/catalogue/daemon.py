"""The daemon itself: version, state, configuration."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric("nodewarden_build_info", GAUGE, "Always 1; the label is the version.", ("version",)),
    Metric(
        "nodewarden_native_enabled",
        GAUGE,
        "1 if native code decodes and matches, 0 if Python does: with the same results, and in several times the time.",
    ),
    Metric("nodewarden_pods_known", GAUGE, "Pods on this node whose network namespace is known by name."),
    Metric(
        "nodewarden_problem",
        GAUGE,
        "1 while `status` reports a problem of this kind, otherwise 0.",
        ("kind",),
    ),
    Metric(
        "nodewarden_surroundings_up",
        GAUGE,
        "0 while node addresses, gateways, resolvers and sessions cannot be read: the allowlist may be old.",
    ),
    Metric(
        "nodewarden_sysctl_fault",
        GAUGE,
        "1 while a sysctl has a value that hides or weakens evidence, or keeps a detector from finding anything.",
        ("sysctl",),
    ),
    Metric(
        "nodewarden_firewall_log_faults",
        GAUGE,
        "Faults of the firewall's log rules: they are limited so that no scan shows, or log what is then accepted.",
    ),
    Metric(
        "nodewarden_tracking_paused",
        GAUGE,
        "1 while connections are not tracked because the kernel's table of them was almost full and nodewarden only "
        "observes.",
    ),
    Metric("nodewarden_state_saving", GAUGE, "0 while bans and history cannot be written to disk."),
    Metric("nodewarden_state_pending_changes", GAUGE, "Changes not yet written to disk."),
    Metric("nodewarden_state_written_rows_total", COUNTER, "Rows written to or removed from the database."),
    Metric("nodewarden_state_failures_total", COUNTER, "Failed write attempts."),
    Metric(
        "nodewarden_state_dropped_offences_total",
        COUNTER,
        "Offences dropped because writing failed for too long.",
    ),
    Metric(
        "nodewarden_internal_errors_total",
        COUNTER,
        "Internal errors, each of which cost a batch of events or one run of a periodic task; the log has the trace.",
    ),
    Metric(
        "nodewarden_web_config_current",
        GAUGE,
        "1 while metrics.web_config_file is in force; 0 while it is faulty and an older version of it is in force.",
    ),
    Metric(
        "nodewarden_scrapers",
        GAUGE,
        "Clients that scraped metrics or checked the health regularly within the last hour, by state: `protected` (on "
        "the allowlist), `unprotected` (they can be banned), `banned` (they are, and were among them before).",
        ("state",),
    ),
    Metric(
        "nodewarden_client_connections_dropped_total",
        COUNTER,
        "Connections to the daemon that were closed without an answer, by server (`metrics`, `control`) and cause: "
        "`crowded` (a newer one took its place), `timeout`, `descriptors` (they are reserved for sources).",
        ("server", "cause"),
    ),
    Metric(
        "nodewarden_log_lines_lost_total",
        COUNTER,
        "Lines of the daemon's log that were not written: standard error or the journal is not read, or fails.",
    ),
    Metric(
        "nodewarden_state_dropped_removals_total",
        COUNTER,
        "Ended bans that were not removed from disk because writing failed for too long; a restart may restore them.",
    ),
    Metric("nodewarden_history_entries", GAUGE, "Entries of the history on disk; 0 while the database cannot be used."),
    Metric(
        "nodewarden_history_only_counted_total",
        COUNTER,
        "Alerts that the history only counts, without an entry, because one detector raised too many in an hour.",
    ),
    Metric("nodewarden_state_copy_failures_total", COUNTER, "Failed attempts to copy the database to its second copy."),
    Metric(
        "nodewarden_recording_up",
        GAUGE,
        "1 while the recording is written; 0 while it is off, stopped, or cannot be written.",
    ),
    Metric("nodewarden_recording_bytes", GAUGE, "Size of the recording on disk."),
    Metric("nodewarden_recording_bytes_limit", GAUGE, "Maximum size of the recording on disk."),
    Metric("nodewarden_recording_written_bytes_total", COUNTER, "Bytes written to the recording."),
    Metric("nodewarden_recording_events_total", COUNTER, "Events written to the recording."),
    Metric(
        "nodewarden_recording_only_counted_total",
        COUNTER,
        "Events that the recording only counts, by source and second, because they came in a flood and led to nothing.",
    ),
    Metric(
        "nodewarden_recording_lost_total",
        COUNTER,
        "Events that are missing in the recording, by cause: the `queue` was full, the `disk` refused them, or a "
        "`fault` of nodewarden. Detectors saw them.",
        ("cause",),
    ),
    Metric(
        "nodewarden_clock_believed", GAUGE, "0 while the clock is far from the time saved last and not synchronised."
    ),
    Metric("nodewarden_config_reloads_total", COUNTER, "Configuration reloads, by result.", ("result",)),
    Metric("nodewarden_config_last_reload_successful", GAUGE, "0 while the configuration files on disk are invalid."),
    Metric(
        "nodewarden_config_in_force",
        GAUGE,
        "0 while files of the configuration, filters or jails differ from what is in force or wait for a restart.",
    ),
    Metric(
        "nodewarden_trial_seconds_left",
        GAUGE,
        "Seconds until the trial configuration that waits is gone unless it is confirmed; 0 without one.",
    ),
    Metric(
        "nodewarden_trials_total",
        COUNTER,
        "Trial configurations (`nodewarden apply`): `started`, and how they ended since the start of the daemon.",
        ("result",),
    ),
)
