"""The native extension: its C sources, and how they are built. Not a part of the installed package."""
