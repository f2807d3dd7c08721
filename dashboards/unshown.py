"""Metrics that no dashboard shows, each with the reason."""

UNSHOWN = {
    "nodewarden_ebpf_up": "nodewarden_ebpf_rung (the attach mode) includes it as `off`",
    "nodewarden_bans_limit": "the sets' own limits are shown (nodewarden_set_elements_limit)",
    "nodewarden_source_cut_lines_total": "depends on the format of one log; looked up when a filter misses something",
    "nodewarden_set_foreign_elements": "rare; `status` reports them, and `list --detector foreign` names them",
    "nodewarden_table_compared_age_seconds": "nodewarden_table_fault (part `comparison`) reports when it is too long",
}
