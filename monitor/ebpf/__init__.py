"""eBPF: compile, load and read through bcc."""
