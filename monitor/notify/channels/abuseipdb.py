"""Reports to AbuseIPDB (API v2, `report`): one address a request.

A report is an accusation in public. So it is about a single address of the Internet that a detector of this node banned
on proven evidence, and says nothing but the detector and how often. Log lines would tell the world about this node and
its users. AbuseIPDB takes an address once in 15 minutes and a number of reports a day; both are counted here, in a
file, so that restarts change nothing.
"""

import ipaddress
import time
from urllib.parse import urlencode

import msgspec

from monitor.files.regular import read_regular
from monitor.files.replaced import replace_file
from monitor.model.errors import explain
from monitor.notify.channel import Again, Refused
from monitor.notify.channels.http import Http, Request
from monitor.notify.message import Kind, Message
from monitor.notify.registration import Place
from monitor.notify.secrets import read_secret
from monitor.notify.sections.abuseipdb import AbuseipdbSettings

_AGAIN_S = 15 * 60.0
_DAY_S = 86400.0
_MAX_STATE_BYTES = 8 << 20
_COUNT_LIMIT = 10**9

# https://www.abuseipdb.com/categories
_PORT_SCAN, _HACKING, _BRUTE_FORCE, _BAD_BOT, _WEB_ATTACK, _SSH, _DDOS = "14", "15", "18", "19", "21", "22", "4"
_CATEGORIES = (
    (("sshd", "dropbear", "ssh"), f"{_BRUTE_FORCE},{_SSH}"),
    (("port_scan", "closed_port_scan", "stealth_scan", "host_sweep", "refused_ports", "protected_port"), _PORT_SCAN),
    (("syn_rate", "udp_rate", "connection_rate", "open_connections", "half_open", "packet_rate", "drop_rate"), _DDOS),
    (("nginx", "apache", "caddy", "traefik", "haproxy", "phpmyadmin", "wordpress"), f"{_BAD_BOT},{_WEB_ATTACK}"),
)


class _Sent(msgspec.Struct):
    """When which address was reported, within the last day."""

    reports: dict[str, float] = {}
    """The last time, by address."""
    times_s: list[float] = []


class AbuseipdbChannel:
    """Reports bans, one each."""

    def __init__(self, name: str, section: AbuseipdbSettings, place: Place) -> None:  # noqa: ARG002
        self._section = section
        self._path = place.directory / "reported.json"
        self._http = Http(section)
        self._own = dict(one.split("=", 1) for one in section.categories)

    def send(self, message: Message) -> None:
        """Report the ban of a message, if it is one to be reported; Refused and Again say why it was not."""
        if message.kind is Kind.TEST:
            read_secret(self._section.api_key_file)  # a test accuses nobody, so nothing is sent
            return
        try:
            address = reported_address(message)
        except ValueError:  # not a fault: most bans are of no concern to AbuseIPDB
            return
        now_s = time.time()
        sent = self._read(now_s)
        sent.times_s = [time_s for time_s in sent.times_s if now_s - _DAY_S < time_s <= now_s]
        sent.reports = {one: time_s for one, time_s in sent.reports.items() if now_s - _AGAIN_S < time_s <= now_s}
        if address in sent.reports:
            return  # it was reported within the last 15 minutes: nothing is missing
        if len(sent.times_s) >= self._section.per_day:
            self._write(sent)
            raise Refused(f"{self._section.per_day} addresses were reported within a day")
        detector = str(message.event.get("detector", ""))
        form = {"ip": address, "categories": self._categories(detector), "comment": comment(message)}
        sent.reports[address] = now_s
        sent.times_s.append(now_s)
        self._write(sent)  # before it is sent: what cannot be counted is not sent
        try:
            self._post(form)
        except Again:
            del sent.reports[address]
            self._write(sent)
            raise

    def close(self) -> None:
        """End a report that is going on."""
        self._http.close()

    def _read(self, now_s: float) -> _Sent:
        """Return what was reported. A file that is damaged counts as a day's reports: nobody knows how many it had."""
        try:
            return msgspec.json.decode(read_regular(self._path, _MAX_STATE_BYTES), type=_Sent)
        except FileNotFoundError:
            return _Sent()
        except OSError as error:
            raise Again(f"{self._path} cannot be read: {explain(error)}") from None
        except msgspec.MsgspecError:
            return _Sent(times_s=[now_s] * self._section.per_day)

    def _write(self, sent: _Sent) -> None:
        try:
            replace_file(self._path, msgspec.json.encode(sent), mode=0o600)
        except OSError as error:
            raise Again(f"{self._path} cannot be written: {explain(error)}") from None

    def _post(self, form: dict[str, str]) -> None:
        headers = {"Key": read_secret(self._section.api_key_file).strip()}
        body = urlencode(form).encode()
        content_type = "application/x-www-form-urlencoded"
        self._http.post(Request(self._section.url, body, content_type, headers, accept="application/json"))

    def _categories(self, detector: str) -> str:
        if detector in self._own:
            return self._own[detector]
        for names, categories in _CATEGORIES:
            if any(detector == name or detector.startswith(f"{name}-") for name in names):
                return categories
        return _HACKING


def reported_address(message: Message) -> str:
    """Return the address that a message accuses; ValueError if it must not be reported. Pure."""
    event = message.event
    if message.kind is not Kind.BAN or event.get("event") != "ban":
        raise ValueError("only new bans are reported")
    if event.get("origin") != "detector" or event.get("mode") == "observe":
        raise ValueError("only bans of detectors of this node are reported")
    if event.get("strength") != "proven":
        raise ValueError("the evidence is not proven: somebody may have forged the address")
    if event.get("set") == "egress":
        raise ValueError("a ban of a destination is no attack")
    try:
        network = ipaddress.ip_network(str(event.get("network", ""))[:64])
    except ValueError:
        raise ValueError("the ban names no address") from None
    address = network.network_address
    if network.num_addresses != 1:
        raise ValueError("a ban of a network accuses no single address")
    if not address.is_global or address.is_multicast:
        raise ValueError("the address is none of the Internet")
    return str(address)


def comment(message: Message) -> str:
    """Say what happened: the detector and how often, nothing from a log and nothing about this host. Pure."""
    event = message.event
    detector = "".join(char for char in str(event.get("detector", "")) if char.isalnum() or char in "_-")[:32]
    count, findtime_s = event.get("count"), event.get("findtime_s")
    text = f"banned by nodewarden, detector {detector}"
    if isinstance(count, int) and isinstance(findtime_s, int | float) and 0 < count < _COUNT_LIMIT and findtime_s > 0:
        text += f": {count} events within {findtime_s:.0f} s"
    return text
