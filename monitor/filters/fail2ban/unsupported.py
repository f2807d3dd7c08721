"""Lists what cannot be imported from a jail: its actions, and options without a meaning here. One sentence each."""

import re
from collections.abc import Iterator

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.document import Document
from monitor.filters.fail2ban.notation import is_true
from monitor.filters.fail2ban.ports import EVERYTHING, read_ports

_BLOCKERS = frozenset(
    {"apf", "bsd", "firewallcmd", "hostsdeny", "ipfilter", "ipfw", "iptables", "nftables", "npf", "osx", "pf", "route"}
    | {"shorewall", "ufw"}
)
"""Actions that ban in a firewall, by the first word of their names: the ban itself replaces them."""
_WHOLE_HOSTS = frozenset({"hostsdeny", "route"})
"""Those of them that know no ports."""
ALL_PORTS = "bans apply to all ports"
"""The note on a jail whose bans are limited to some ports."""
_UTF_8 = frozenset({"auto", "utf-8", "utf8", "ascii", "us-ascii"})
_PORT = re.compile(r"""\bport=(?:"([^"]*)"|'([^']*)'|([^,\]\s]*))""")
_PROTOCOL = re.compile(r"""\bprotocol=["']?([a-z0-9,]+)""")
_LETS_IN = re.compile(r"""\bblocktype=["']?(?:RETURN|ACCEPT)\b""", re.IGNORECASE)
_SHOWN = 5


class Actions:
    """The actions of a jail, as far as they matter here."""

    def __init__(self, document: Document, jail: str) -> None:
        """Read the actions of a jail; if they cannot be read, `fault` says why and there are none."""
        self.fault = ""
        try:
            text = document.find(jail, "action") or ""
            port = document.find(jail, "port") or ""
            protocol = document.find(jail, "protocol") or "tcp"
        except FilterError as error:
            text, port, protocol, self.fault = "", "", "tcp", str(error)
        names = dict.fromkeys(_outside_brackets(text).split())
        self.others = [name for name in names if name.partition("-")[0] not in _BLOCKERS]
        blockers = [name for name in names if name not in self.others]
        ports = {next(filter(None, found), "").strip() for found in _PORT.findall(text)} or {port.strip()}
        knows_ports = not any(name.endswith("allports") or name.partition("-")[0] in _WHOLE_HOSTS for name in blockers)
        self.has_ports = bool(blockers) and knows_ports and not ports & EVERYTHING
        self.protocols = {word for found in _PROTOCOL.findall(text) or [protocol] for word in found.split(",")}
        self.ports = read_ports(sorted(ports), self.protocols) if self.has_ports else ()
        """The ports that bans are limited to, as for `detectors.NAME.ports`; empty: all, or more than can be named."""
        self.lets_in = _LETS_IN.search(text) is not None

    def notes(self) -> Iterator[str]:
        """Yield what the actions do beyond banning an address."""
        if self.fault:
            yield f"its actions cannot be read: {self.fault}"
        if self.others:
            more = ", ..." if len(self.others) > _SHOWN else ""
            yield f"these actions are not run: {', '.join(self.others[:_SHOWN])}{more}"
        if self.has_ports:
            yield ALL_PORTS


def _outside_brackets(text: str) -> str:
    """Return a list of actions without their parameters."""
    kept: list[str] = []
    quote = ""
    inside = False
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif inside and char in "\"'":
            quote = char
        elif char == "[":
            inside = True
        elif char == "]":
            inside = False
        elif not inside:
            kept.append(char)
    return "".join(kept)


WITHOUT_COUNTERPART = {
    "ignorecache": "no command is run for an address, so there is nothing to cache",
    "maxmatches": "`nodewarden why` shows the evidence of a ban",
    "chain": "bans apply in all chains, before those of other tables",
    "destemail": "nothing is mailed: use the rules for Prometheus, or `nodewarden events`",
    "sender": "nothing is mailed: use the rules for Prometheus, or `nodewarden events`",
    "mta": "nothing is mailed: use the rules for Prometheus, or `nodewarden events`",
}
"""Options that have no effect here, and why; reported where the administrator has set them."""
_SHIPPED = ("jail.conf", "paths-common.conf", "paths-debian.conf")


def notes_on_options(document: Document, jail: str) -> Iterator[str]:
    """Yield a note on each option of a jail that is not imported; FilterError if one cannot be expanded."""
    if (document.find(jail, "usedns") or "warn") not in ("no", "raw"):
        yield "names in the log are never resolved (usedns)"
    if document.find(jail, "ignorecommand"):
        yield "its ignorecommand is not run: use the allowlist"
    if not is_true(document.find(jail, "ignoreself") or "true"):
        yield "addresses of this machine are never banned (ignoreself)"
    if (document.find(jail, "logencoding") or "auto").lower() not in _UTF_8:
        yield "the log is read as UTF-8 (logencoding)"
    backend = document.find(jail, "backend") or ""
    if "[" in backend:
        yield f"the options of the backend are not imported: {backend[:80]}"
    own = sorted(name for name in document.own(jail) if name.startswith("bantime."))
    different = [name for name in own if document.find(jail, name) != document.find("DEFAULT", name)]
    if different:
        yield f"its {', '.join(different)} are not imported: bans.increment applies to all detectors"
    for name, reason in WITHOUT_COUNTERPART.items():
        option = document.own(jail).get(name) or document.defaults.get(name)
        if option is not None and option.file and not option.file.endswith(_SHIPPED):
            yield f"{name} has no effect: {reason}"


def notes_on_defaults(document: Document) -> Iterator[str]:
    """Yield a note if `[DEFAULT]` configures longer bans, which are configured elsewhere here."""
    try:
        if is_true(document.find("DEFAULT", "bantime.increment") or ""):
            yield "bantime.increment is not read: bans.increment applies (`nodewarden fail2ban import` translates it)"
    except FilterError as error:
        yield str(error)
