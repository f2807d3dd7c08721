"""What channels of section `notify` refer to: files with secrets and certificates, templates, programs.

All of it is a warning: a channel that cannot send yet must not keep the daemon from starting.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor.daemon.selfcheck.references import Finding, why_not_for_service
from monitor.notify.settings import NotifySettings

_OTHERS = 0o006


def notify_findings(settings: NotifySettings, root: Path) -> Iterator[Finding]:
    """Yield what would keep channels from sending."""
    for name, kind, section in settings.channels():
        place = f"notify.{kind.kind}.{name}"
        for info in msgspec.structs.fields(type(section)):
            value = str(getattr(section, info.name)) if info.name.endswith("_file") else ""
            is_secret = not info.name.startswith(("ca_", "cert_"))
            if value.startswith("/") and (text := _why_not(value, root, is_secret=is_secret)):
                yield Finding(f"{place}.{info.encode_name}", text, is_warning=True)
        for key, text in kind.findings(section):
            yield Finding(f"{place}.{key}", text, is_warning=True)


def _why_not(name: str, root: Path, *, is_secret: bool) -> str:
    """Return what is wrong with a file, never what is in it; empty: nothing."""
    path = Path(name)
    if not os.path.lexists(path):
        return f"{name} does not exist now; it is read for each message"
    if not path.is_file():
        return f"{name} is no regular file"
    if why := why_not_for_service(root / name.lstrip("/")):
        return f"{name}: {why}"
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if is_secret and mode & _OTHERS:
        return f"{name} can be read or written by every user of this machine: chmod 640 {name}"
    return ""
