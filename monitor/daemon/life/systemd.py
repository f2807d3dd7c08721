"""What the daemon reports to systemd (sd_notify(3)); silent where nobody listens."""

import logging
import os
import socket
import time

from monitor.model.printable import printable

_log = logging.getLogger(__name__)
_ALIVE_SHARE, _TOO_SOON = 0.6, 1 / 16
"""After which share of its time somebody has to call `alive`, and within which share of that the watchdog is not fed
again."""


class ServiceManager:
    """Sends states from one socket that stays open, so that a shortage of descriptors cannot silence the watchdog."""

    def __init__(self) -> None:
        """Open the socket that NOTIFY_SOCKET asks for, if it is set; a failure is reported, and the daemon runs on."""
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._socket: socket.socket | None = None
        self._alive_s = float("-inf")
        self._is_connected = False
        self._trouble = ""
        self._status = ""
        """The last status that was sent."""
        self.watchdog_s = _watchdog_s()
        """How soon the watchdog expects a sign of life from this process, in seconds; infinity if it expects none."""
        if self._address:
            try:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)  # noqa: FBT003 - the library's signature
            except OSError as error:
                self._failed(error)

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        """Report that start-up or reload is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that a reload starts; systemd wants the monotonic clock with it (Type=notify-reload)."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the daemon is stopping."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows; only the first line of the text, so that it is no state.

        One that systemd has is not sent again: it would wake systemd each second for nothing.
        """
        status = printable(text.partition("\n")[0])
        if status != self._status:
            self._status = status if self._send("STATUS=" + status) else ""

    @property
    def alive_every_s(self) -> float:
        """How often `alive` is to be called at least: at most a sixteenth more passes between two signs of life.

        One that did not get through is followed by another soon: there is no time for a second rest.
        """
        every_s = self.watchdog_s * _ALIVE_SHARE
        return every_s * _TOO_SOON if self._trouble else every_s

    def alive(self) -> None:
        """Feed the watchdog, if it expects a sign of life from this process and did not just get one."""
        now_s = time.monotonic()
        is_due = not 0 <= now_s - self._alive_s < self.watchdog_s * _ALIVE_SHARE * _TOO_SOON
        if self.watchdog_s < float("inf") and is_due and self._send("WATCHDOG=1"):
            self._alive_s = now_s

    def problems(self) -> list[str]:
        """Say why systemd hears nothing; the watchdog will then restart the daemon."""
        return [f"systemd cannot be notified: {self._trouble}"] if self._trouble else []

    def _send(self, state: str) -> bool:
        """Send one state, several separated by newlines; return whether systemd gets it."""
        if self._socket is None:
            return False
        data = state.encode(errors="replace")
        try:
            try:
                self._send_to_known(self._socket, data)
            except OSError:  # there may be another socket at this address by now
                self._is_connected = False
                self._send_to_known(self._socket, data)
            self._trouble = ""
        except OSError as error:
            self._failed(error)
            return False
        return True

    def _send_to_known(self, opened: socket.socket, data: bytes) -> None:
        """Send without looking the address up, as long as its socket is there: that costs more than to send."""
        if not self._is_connected:
            opened.connect(self._address)
            self._is_connected = True
        opened.send(data)

    def _failed(self, error: OSError) -> None:
        self._is_connected = False
        if not self._trouble:
            _log.warning("systemd cannot be notified: %s; tried again with the next sign of life", error)
        self._trouble = str(error)


def _watchdog_s() -> float:
    mine = str(os.getpid())
    time_us = os.environ.get("WATCHDOG_USEC", "")
    if not time_us.isdecimal() or int(time_us) == 0 or os.environ.get("WATCHDOG_PID", mine) != mine:
        return float("inf")
    return int(time_us) / 1e6


def logs_to_journal() -> bool:
    """Whether standard error is the journal's (sd_notify's cousin JOURNAL_STREAM, systemd.exec(5))."""
    try:
        device, _, inode = os.environ["JOURNAL_STREAM"].partition(":")
        found = os.fstat(2)
        return (found.st_dev, found.st_ino) == (int(device), int(inode))
    except (KeyError, ValueError, OSError):
        return False
