"""Metrics that no dashboard shows, each with the reason."""

UNSHOWN = {
    "nodewarden_ebpf_up": "nodewarden_ebpf_rung (the attach mode) includes it as `off`",
    "nodewarden_clock_believed": "0 only in the first hour after a boot with a wrong clock; a problem in `status`",
    "nodewarden_bans_limit": "the sets' own limits are shown (nodewarden_set_elements_limit)",
    "nodewarden_source_cut_lines_total": "depends on the format of one log; looked up when a filter misses something",
}
