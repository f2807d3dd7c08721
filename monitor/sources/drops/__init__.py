"""Packets that the kernel drops, counted by eBPF."""
