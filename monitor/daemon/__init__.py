"""The daemon: knows all stages, wires them, lives in systemd."""
