"""Compiles and loads eBPF programs through bcc, and reads their maps."""
