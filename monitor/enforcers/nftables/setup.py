"""Creates the table in one transaction, and replaces a table with another definition without a gap in protection."""

import contextlib
import errno
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from monitor.enforcers.netlink_socket import NetlinkSocket, TooMuchAtOnce
from monitor.enforcers.nftables import listing, messages
from monitor.enforcers.nftables.definition import Step, allowed, carried, carried_ports, definition, replacement
from monitor.enforcers.nftables.ruleset import (
    FORMER_SETS,
    PORT_SETS,
    SCHEMA,
    Element,
    SetSpec,
    all_set_specs,
    port_set_specs,
    set_name,
    set_specs,
)
from monitor.model.addresses import Network
from monitor.model.bans import Action
from monitor.model.errors import PermanentError, TemporaryError

_log = logging.getLogger(__name__)


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """The kernel refused the transaction; the message says which part and why."""


class Wanted(msgspec.Struct, frozen=True):
    """What the table should be like, apart from its bans; `allowlist` must be disjoint (`addresses.collapse`)."""

    max_bans: int
    action: Action
    allowlist: Sequence[Network]


def remove_table(link: NetlinkSocket, table: str) -> None:
    """Delete a table with all that is in it; a missing one is not an error. TemporaryError if the kernel refuses."""
    failed = link.transact([messages.delete_table(table)])
    if failed and failed[0] != errno.ENOENT:
        raise TemporaryError(f"table inet {table} was not deleted: {os.strerror(failed[0])}")


def setup(link: NetlinkSocket, wanted: Wanted) -> None:
    """Create or complete the table in one transaction. See `NftablesEnforcer.setup`."""
    comment = listing.table_comment(link)
    with _explained():
        if comment is None or (SCHEMA.encode() in comment and _same_sets(link, wanted.max_bans)):
            try:
                frame = definition(max_bans=wanted.max_bans, action=wanted.action)
                _run(link, [*frame, *allowed(wanted.allowlist)])
            except (_Refused, PermanentError) as error:
                # EOPNOTSUPP, a PermanentError, is also the answer about a chain that is at another hook
                if comment is None or isinstance(error.__cause__, PermissionError):
                    raise
            else:
                return
        _replace(link, wanted)


def _same_sets(link: NetlinkSocket, max_bans: int) -> bool:
    """Whether every existing set has the wanted definition: kernels differ in how they handle another size.

    A set with user data was made by nft(8), from a listing of our table say; other versions of nft may crash on it.
    """
    specs = all_set_specs(max_bans)
    return all(
        (found.key_bytes, found.interval, found.size) == (spec.key_bytes, spec.interval, spec.size)
        and not found.has_userdata
        for name, found in listing.read_definitions(link, specs).items()
        for spec in (specs[name],)
    )


def replace(link: NetlinkSocket, wanted: Wanted) -> None:
    """Delete the table and create it in one transaction; bans keep their time, and all counters continue."""
    with _explained():
        _replace(link, wanted)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise what the caller can do about a refusal."""
    try:
        yield
    except _Refused as error:
        raise TemporaryError(f"table inet nodewarden was not set up: the kernel refused {error}") from error


def _replace(link: NetlinkSocket, wanted: Wanted) -> None:
    read_at_s = time.monotonic()
    specs = set_specs(wanted.max_bans)
    definitions = listing.read_definitions(link, (*specs, *FORMER_SETS))
    readable = [
        name for name, found in definitions.items() if found.key_bytes == specs[FORMER_SETS.get(name, name)].key_bytes
    ]
    elements = _longest(listing.read_elements(readable), specs)
    existing = listing.read_definitions(link, PORT_SETS)
    sizes = {name: spec.key_bytes for name, spec in port_set_specs().items()}
    of_ports = listing.read_port_elements([name for name, one in existing.items() if one.key_bytes == sizes[name]])
    counters = listing.read_any_counters(link)
    elapsed_s = time.monotonic() - read_at_s
    made = replacement(max_bans=wanted.max_bans, action=wanted.action, counters=counters)
    frame = [*made, *allowed(wanted.allowlist)]
    content = [*carried(elements, elapsed_s), *carried_ports(of_ports, elapsed_s)]
    try:
        _run(link, [*frame, *content])
    except TooMuchAtOnce:
        # Without privileges in the initial user namespace the send buffer is small: bans follow as fast as they can.
        _log.warning("the bans of table inet nodewarden do not fit into one transaction: they are added after it")
        _run(link, frame)
        for step in content:
            _run(link, [step])


def _longest(elements: Iterable[Element], specs: dict[str, SetSpec]) -> list[Element]:
    """Return the elements that fit into each set, preferring those that expire last."""
    kept: list[Element] = []
    room = {name: spec.size for name, spec in specs.items()}
    for element in sorted(elements, key=lambda e: float("inf") if e.timeout_s is None else e.timeout_s, reverse=True):
        name = set_name(element.network, element.strength)
        if room[name] > 0:
            room[name] -= 1
            kept.append(element)
    return kept


def _run(link: NetlinkSocket, steps: Sequence[Step]) -> None:
    failed = link.transact([step.request for step in steps])
    for index, code in sorted(failed.items()):
        hint = " (the kernel may lack a module of nf_tables)" if code == errno.ENOENT else ""
        raise _Refused(f"{steps[index].what}: {os.strerror(code)}{hint}")
