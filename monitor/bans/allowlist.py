"""The bound on the allowlist: what is allowed by configuration, by command and by providers, and what has to stay out.

The kernel's sets, the maps of XDP and every change of the allowlist cost time and memory by its size. It is cut in an
order that keeps the node alive, and what was cut is reported: the addresses would not be protected.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from monitor.model.addresses import Network, collapse
from monitor.model.bans import MAX_ALLOW_ENTRIES, MAX_ALLOWED, MAX_ALLOWED_NODE, AllowEntry

CONFIGURED, PRESETS, BY_COMMAND, NODE, IGNORED = PROVIDERS = "configuration", "presets", "command", "node", "fail2ban"
"""Where entries come from, in order of precedence: of two for one network the first explains it."""
_LAST_CUT = (CONFIGURED, NODE, PRESETS, BY_COMMAND, IGNORED)
TITLES = {
    CONFIGURED: "`bans.allowlist`",
    PRESETS: "`bans.presets`",
    BY_COMMAND: "`nodewarden allow add`",
    NODE: "node addresses, resolvers, sessions, scrapers and cluster",
    IGNORED: "`ignoreip` of fail2ban",
}


class Allowlist(NamedTuple):
    """What is allowed, in order of precedence, and how many entries of each provider had to stay out."""

    entries: list[AllowEntry]
    omitted: dict[str, int]


def admit(entries: Mapping[str, Sequence[AllowEntry]]) -> Allowlist:
    """Admit what fits, given the entries of each provider.

    Entries of the configuration always fit, since what is read is bounded. Those of the node have their share, since
    without its resolvers and gateways it is lost.
    """
    provided = {**entries, CONFIGURED: merged(entries.get(CONFIGURED, ()))}
    provided[NODE], too_many = _first(provided.get(NODE, ()), MAX_ALLOWED_NODE)
    omitted = {NODE: too_many} if too_many else {}
    if not _fits([entry for some in provided.values() for entry in some]):
        room = MAX_ALLOWED
        for name in _LAST_CUT:
            provided[name], left_out = _first(provided.get(name, ()), room)
            room -= len(provided[name])
            if left_out:
                omitted[name] = omitted.get(name, 0) + left_out
    return Allowlist([entry for name in PROVIDERS for entry in provided.get(name, ())], omitted)


def merged(entries: Sequence[AllowEntry]) -> Sequence[AllowEntry]:
    """Return the entries, merged into the fewest where there are many; all have the reason of the first."""
    if len(entries) <= MAX_ALLOWED_NODE:
        return entries
    return [AllowEntry(network, entries[0].reason) for network in collapse([entry.network for entry in entries])]


def _fits(entries: Sequence[AllowEntry]) -> bool:
    if len(entries) <= MAX_ALLOWED:
        return True
    return len(entries) <= MAX_ALLOW_ENTRIES and len(collapse([entry.network for entry in entries])) <= MAX_ALLOWED


def _first(entries: Iterable[AllowEntry], room: int) -> tuple[list[AllowEntry], int]:
    """Return the first entries of distinct networks, as many as there is room for, and how many are left out."""
    by_network: dict[Network, AllowEntry] = {}
    for entry in entries:
        by_network.setdefault(entry.network, entry)
    kept = list(by_network.values())[:room]
    return kept, len(by_network) - len(kept)
