"""Where things are by default: what the command line needs to know without the schema, which takes long to import."""

from pathlib import Path

DEFAULT_PATH = Path("/etc/nodewarden/nodewarden.yaml")
DEFAULT_SOCKET = Path("/run/nodewarden/control.sock")
