"""What a command of the command line imports before it knows what it is to do: none of the daemon's parts."""

import subprocess
import sys

_HEAVY = ("monitor.bans", "monitor.daemon", "monitor.detectors", "monitor.filters", "monitor.state", "sqlite3", "yaml")


def test_the_command_line_starts_light() -> None:
    code = "import sys, monitor.cli.main; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "monitor.cli.main" in loaded
    assert [name for name in loaded if name.startswith(_HEAVY)] == []
