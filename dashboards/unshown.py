"""Metrics that no dashboard shows, each with the reason."""

UNSHOWN = {
    "nodewarden_ebpf_up": "nodewarden_ebpf_rung says the same and more: `off`",
    "nodewarden_bans_limit": "the sets' own limits are shown (nodewarden_set_elements_limit)",
    "nodewarden_source_cut_lines_total": "a matter of one log's format, looked up when a filter misses something",
}
