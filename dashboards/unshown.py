"""Metrics that no dashboard shows, each with the reason."""

UNSHOWN = {
    "nodewarden_ebpf_up": "nodewarden_ebpf_rung (the attach mode) includes it as `off`",
    "nodewarden_surroundings_up": "rarely 0: only while the kernel does not answer; `nodewarden status` says why",
    "nodewarden_bans_limit": "the sets' own limits are shown (nodewarden_set_elements_limit)",
    "nodewarden_client_connections_dropped_total": "a client's fault, not the node's traffic; a note in `status`",
    "nodewarden_source_cut_lines_total": "depends on the format of one log; looked up when a filter misses something",
}
