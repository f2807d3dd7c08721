"""The settings of each kind of channel. The daemon reads them as well, so nothing here imports a heavy library."""
