"""nodewarden: watches a node's traffic through the kernel's eyes and bans offenders in nftables."""

__version__ = "0.1.0"
