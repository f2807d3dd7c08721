"""What the daemon tells systemd (sd_notify(3)); silent where nobody listens."""

import os
import time

from systemd import daemon


def notify(state: str) -> None:
    """Send one state, several separated by newlines."""
    daemon.notify(state)


def ready() -> None:
    """Say that start-up or reload is over."""
    notify("READY=1")


def reloading() -> None:
    """Say that a reload begins; systemd wants the monotonic clock with it (Type=notify-reload)."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """Say that the end has begun."""
    notify("STOPPING=1")


def status(text: str) -> None:
    """Set the line that `systemctl status` shows."""
    notify(f"STATUS={text}")


def is_watched() -> bool:
    """Whether systemd's watchdog expects a sign of life from this process."""
    return os.environ.get("WATCHDOG_USEC", "0") != "0" and os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(
        os.getpid()
    )


def alive() -> None:
    """Feed the watchdog."""
    notify("WATCHDOG=1")


def logs_to_journal() -> bool:
    """Whether standard error is the journal's (sd_notify's cousin JOURNAL_STREAM, systemd.exec(5))."""
    try:
        device, _, inode = os.environ["JOURNAL_STREAM"].partition(":")
        found = os.fstat(2)
        return (found.st_dev, found.st_ino) == (int(device), int(inode))
    except (KeyError, ValueError, OSError):
        return False
