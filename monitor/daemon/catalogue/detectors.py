"""From text to events to alerts: filters, detectors and their thresholds."""

from monitor.detectors import registry
from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric(
        "nodewarden_filter_up", GAUGE, "0 while a detector's filter cannot be used: it finds nothing.", ("detector",)
    ),
    Metric(
        "nodewarden_filter_log_missing",
        GAUGE,
        "1 while neither a file nor a journal is there for a detector to read: it finds nothing.",
        ("detector",),
    ),
    Metric(
        "nodewarden_filter_log_silent",
        GAUGE,
        "1 while a log yielded no line for the section's `silence` although its service runs: it may be the wrong log.",
        ("detector",),
    ),
    Metric("nodewarden_filter_candidates_total", COUNTER, "Lines that were looked at closely.", ("detector",)),
    Metric("nodewarden_filter_failures_total", COUNTER, "Failures found.", ("detector",)),
    Metric(
        "nodewarden_filter_unproven_total",
        COUNTER,
        "Failures that prove nothing, because others can have written the line: they only shun.",
        ("detector",),
    ),
    Metric("nodewarden_filter_ignored_total", COUNTER, "Lines that matched, but an ignoreregex too.", ("detector",)),
    Metric(
        "nodewarden_filter_unusable_total",
        COUNTER,
        "Failures that name no address: names are never resolved.",
        ("detector",),
    ),
    Metric(
        "nodewarden_filter_misdated_total",
        COUNTER,
        "Lines whose date is not when they were written (a wrong clock or time zone): taken as of then.",
        ("detector",),
    ),
    Metric(
        "nodewarden_filter_outdated_total",
        COUNTER,
        "Failures from before the start that are older than findtime or without a date, or that were read before the "
        "log was rewritten: not counted.",
        ("detector",),
    ),
    Metric(
        "nodewarden_filter_stale_total",
        COUNTER,
        "Failures in lines that appeared just now with a date before findtime that no wrong time zone explains (a "
        "rewritten log, a wrong clock): not counted.",
        ("detector",),
    ),
    Metric(
        "nodewarden_filter_timeouts_total",
        COUNTER,
        "Lines given up because an expression took longer than `confirm_timeout`: evidence that was not seen.",
        ("detector",),
    ),
    Metric(
        "nodewarden_filter_skipped_total",
        COUNTER,
        "Lines that an expression was not tried on because it takes too long on lines of that length: evidence not "
        "seen.",
        ("detector",),
    ),
    Metric(
        "nodewarden_filter_paused",
        GAUGE,
        "1 while long lines are skipped because the filter takes too long on them; see `nodewarden status`.",
        ("detector",),
    ),
    Metric(
        "nodewarden_filter_evicted_total",
        COUNTER,
        "Connections that a filter forgot early because there were too many: their failures may lack an address.",
        ("detector",),
    ),
    Metric("nodewarden_events_total", COUNTER, "Events handed to the detectors.", ("kind",)),
    Metric(
        "nodewarden_detector_alerts_total",
        COUNTER,
        "Thresholds crossed, by what the evidence proves: `spoofable` evidence can be forged by anyone (floods count "
        "there), `destination` is about an address that the node calls.",
        ("detector", "mode", "strength"),
    ),
    Metric("nodewarden_flood_active", GAUGE, "1 while a flood lasts and for a minute after.", ("detector",)),
    Metric(
        "nodewarden_flood_attempts_per_second",
        GAUGE,
        "Size of the flood that lasts, as its last alert reported it: incomplete attempts per second; 0 without one.",
        ("detector",),
    ),
    Metric("nodewarden_detector_maxretry", GAUGE, "The configured threshold.", ("detector",)),
    Metric(
        "nodewarden_detector_findtime_seconds", GAUGE, "Time within which the threshold must be reached.", ("detector",)
    ),
    Metric("nodewarden_detector_bantime_seconds", GAUGE, "Duration of a first ban.", ("detector",)),
    Metric("nodewarden_detector_mode", GAUGE, "1 for the mode in force.", ("detector", "mode")),
    Metric(
        "nodewarden_detector_busiest_ratio",
        GAUGE,
        "How close any source came to the threshold within the last one to two minutes; 1: it crossed it. Connections "
        "of protected addresses do not count.",
        ("detector",),
    ),
    Metric("nodewarden_detector_window_entries", GAUGE, "Entries that the detector remembers.", ("detector",)),
    Metric(
        "nodewarden_detector_window_entries_limit",
        GAUGE,
        "Maximum number of entries that the detector remembers.",
        ("detector",),
    ),
    Metric(
        "nodewarden_detector_evicted_keys_total",
        COUNTER,
        "Keys forgotten early because the window was full: evidence lost to a flood of sources.",
        ("detector",),
    ),
    Metric(
        "nodewarden_detector_missed_keys_total",
        COUNTER,
        "Keys forgotten early that were near the threshold, or so recent that a slow attacker is forgotten as well. "
        "Part of the evicted keys; a problem in `status`.",
        ("detector",),
    ),
    Metric("nodewarden_shadow_maxretry", GAUGE, "The threshold that a detector's shadow tries.", ("detector",)),
    Metric("nodewarden_shadow_findtime_seconds", GAUGE, "The `findtime` that a shadow tries.", ("detector",)),
    Metric(
        "nodewarden_shadow_alerts_total",
        COUNTER,
        "Thresholds of a shadow crossed: compare with `nodewarden_detector_alerts_total`. Nobody is banned for it.",
        ("detector",),
    ),
    Metric(
        "nodewarden_shadow_sources_total",
        COUNTER,
        "Sources found by the shadow only, by the real detector only (`real`), or by both; counted once both had the "
        "longer `findtime` to find them.",
        ("detector", "found_by"),
    ),
    Metric(
        "nodewarden_shadow_evicted_keys_total",
        COUNTER,
        "Keys that a shadow forgot early because its window was full: it finds less than it should.",
        ("detector",),
    ),
    *registry.metrics(),
)
