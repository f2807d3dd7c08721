"""Metrics that no dashboard shows, each with the reason."""

UNSHOWN = {
    "nodewarden_ebpf_up": "nodewarden_ebpf_rung (the attach mode) includes it as `off`",
    "nodewarden_surroundings_up": "rarely 0: only while the kernel does not answer; `nodewarden status` says why",
    "nodewarden_client_connections_dropped_total": "a client's fault, not the node's traffic; a note in `status`",
    "nodewarden_web_config_current": "0 only after a faulty change of that file; a problem in `status`",
    "nodewarden_bans_full": "the alert NodewardenNoRoom names the class; nodewarden_bans_by_class shows how it fills",
    "nodewarden_allowlist_limit": "a constant; the alert NodewardenAllowlistCut says when it is exceeded",
    "nodewarden_allowlist_omitted": "above zero the alert NodewardenAllowlistCut fires and names the provider",
    "nodewarden_observed_limit": "a constant; nodewarden_observed_evicted_total shows that it is reached",
    "nodewarden_clock_believed": "0 only in the first hour after a boot with a wrong clock; a problem in `status`",
    "nodewarden_source_cut_lines_total": "depends on the format of one log; looked up when a filter misses something",
    "nodewarden_set_foreign_elements": "rare; `status` reports them, and `list --detector foreign` names them",
    "nodewarden_table_compared_age_seconds": "nodewarden_table_fault (part `comparison`) reports when it is too long",
}
