"""Records of syslog: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587, octets counted), TLS (RFC 5425) and unix(7).

Syslog has no acknowledgement. What can be known is used: over UDP that nobody listens (ICMP), over TCP and TLS that the
server closed its side after ours, which means that it read everything, or reset the connection.
"""

import os
import select
import socket
import ssl
from collections.abc import Iterator

from monitor import __version__
from monitor.notify.channel import Again
from monitor.notify.channels import cef, wording
from monitor.notify.channels.connection import Current, Delivery
from monitor.notify.channels.http import client_context
from monitor.notify.message import Item, Message, Urgency
from monitor.notify.registration import Place
from monitor.notify.sections.syslog import Facility, LogFormat, SyslogSettings, Transport

_FACILITIES = {Facility.DAEMON: 3, Facility.AUTH: 4, Facility.AUTHPRIV: 10} | {
    facility: 16 + number for number, facility in enumerate(list(Facility)[3:])
}
_SEVERITIES = {Urgency.INFO: 6, Urgency.WARNING: 4, Urgency.CRITICAL: 2}
_PORTS = {Transport.UDP: 514, Transport.TCP: 601, Transport.TLS: 6514}
_DATAGRAM_BYTES = 2048  # RFC 5426: what receivers should take at least
_STREAM_BYTES = 8192  # RFC 5425
_LINGER_S = 2.0
_ICMP_S = 0.02
_SD_ID = "nodewarden@32473"  # RFC 5612: the number of examples, since none is assigned
_LONGEST_PARAMETER = 500


class SyslogChannel:
    """Writes a record for each event of a message."""

    def __init__(self, name: str, section: SyslogSettings, place: Place) -> None:  # noqa: ARG002 - as of all channels
        self._section = section
        self._current = Current()

    def send(self, message: Message) -> None:
        """Write the records of a message; Again if the server is not there."""
        section = self._section
        port = section.port or _PORTS.get(section.transport, 0)
        where = section.path if section.transport is Transport.UNIX else f"{section.host}:{port}"
        lines = list(records(message, section))
        with self._current.delivery(section.timeout_s, where) as delivery:
            if section.transport is Transport.UNIX:
                _write_unix(delivery, section.path, lines)
            elif section.transport is Transport.UDP:
                with delivery.connect_datagram(section.host, port) as one:
                    _write_datagrams(one, lines)
            else:
                one = delivery.connect(section.host, port)
                if section.transport is Transport.TLS:
                    one = delivery.wrap(one, client_context(section), section.host)
                _write_stream(delivery, one, lines)

    def close(self) -> None:
        """End what is being written."""
        self._current.close()


def records(message: Message, section: SyslogSettings) -> Iterator[bytes]:
    """Yield the records of a message, none longer than the transport takes. Pure but for the process id."""
    message = wording.shown(message)
    is_datagram = section.transport in (Transport.UDP, Transport.UNIX)
    limit = _DATAGRAM_BYTES if is_datagram else _STREAM_BYTES
    for item in message.items:
        yield _cut(_record(message, item, section), limit)
    if not message.items or next(wording.remainder(message), ""):
        yield _cut(_record(message, None, section), limit)


def _record(message: Message, item: Item | None, section: SyslogSettings) -> bytes:
    priority = _FACILITIES[section.facility] * 8 + _SEVERITIES[message.urgency]
    time_s = message.time_s if item is None else item.time_s
    stamp = wording.utc(time_s)
    header = f"<{priority}>1 {'-' if stamp == 'never' else stamp} {_name(message.host, 255)} nodewarden {os.getpid()} "
    header += _name(str(message.kind), 32)
    if section.format is LogFormat.CEF:
        return f"{header} - {cef.record(message, item)}".encode()
    if item is None:
        text = "; ".join((message.title, *wording.remainder(message)))
        return f"{header} {_structured(message, item)} ".encode() + b"\xef\xbb\xbf" + text.encode()
    return f"{header} {_structured(message, item)} ".encode() + b"\xef\xbb\xbf" + _sentence(item).encode()


def _sentence(item: Item) -> str:
    """Write what happened, with end and evidence: many log servers keep no structured data."""
    more = [f"until {wording.utc(item.until_s)}"] if item.until_s else []
    more += [f"{item.strength} evidence"] if item.strength else []
    return f"{item.text} ({', '.join(more)})" if more else item.text


def _structured(message: Message, item: Item | None) -> str:
    fields = {"version": __version__, "group": message.group}
    if item is None:
        fields |= {"count": str(message.count), "unseen": str(message.unseen)}
    else:
        until = wording.utc(item.until_s) if item.until_s else ""
        fields |= {"network": item.network, "detector": item.detector, "set": item.set, "evidence": item.strength,
                   "until": until, "reason": item.reason}  # fmt: skip
    parameters = (f'{key}="{_parameter(value)}"' for key, value in fields.items() if value)
    return f"[{_SD_ID} {' '.join(parameters)}]"


def _parameter(text: str) -> str:
    r"""Escape a value of structured data: `"`, `\` and `]` (RFC 5424, section 6.3.3)."""
    text = wording.cut(text, _LONGEST_PARAMETER).replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("]", "\\]")


def _name(text: str, longest: int) -> str:
    """Return a name of the header: printable ASCII without spaces; `-` if nothing is left."""
    return "".join(char for char in text if "!" <= char <= "~")[:longest] or "-"


def _cut(record: bytes, limit: int) -> bytes:
    """Cut a record, not within a character."""
    return record if len(record) <= limit else record[:limit].decode("utf-8", "ignore").encode()


def _write_datagrams(one: socket.socket, lines: list[bytes]) -> None:
    for line in lines:
        one.send(line)
    poll = select.poll()
    poll.register(one, select.POLLERR)
    if poll.poll(_ICMP_S * 1000) and (number := one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
        raise OSError(number, os.strerror(number))


def _write_unix(delivery: Delivery, path: str, lines: list[bytes]) -> None:
    """Write to a socket of this host: datagrams, or a stream where it is one."""
    try:
        one = delivery.connect_unix(path, socket.SOCK_DGRAM)
    except OSError as error:
        if error.errno != 91:  # EPROTOTYPE
            raise
        _write_stream(delivery, delivery.connect_unix(path, socket.SOCK_STREAM), lines)
        return
    with one:
        for line in lines:
            one.send(line)


def _write_stream(delivery: Delivery, one: socket.socket, lines: list[bytes]) -> None:
    """Write records with their lengths, and wait for the server to close its side."""
    one.sendall(b"".join(b"%d %b" % (len(line), line) for line in lines))
    try:
        if isinstance(one, ssl.SSLSocket):
            one.settimeout(min(_LINGER_S, delivery.left_s()))
            one.unwrap()  # sends close_notify, and waits for the server's
            return
        one.shutdown(socket.SHUT_WR)
        one.settimeout(min(_LINGER_S, delivery.left_s()))
        while one.recv(4096):
            delivery.left_s()
    except TimeoutError:  # it keeps the connection open: nothing more can be known
        delivery.left_s()
    except ssl.SSLError:  # it closes without a farewell, after it read ours
        return
    except ConnectionError as error:
        raise Again(f"the server ended the connection: {error.strerror}") from None
