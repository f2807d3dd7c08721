"""The kernel log: packets that firewall rules write to it."""
