"""Converts objects to rows of the store and back; pure. MalformedRecord for an invalid row or value."""

import math
from typing import Any, TypeAlias, TypeVar

from monitor.model.addresses import Network, network_of
from monitor.model.alerts import Strength
from monitor.model.bans import OUTCOMES, Ban, ClaimKey, ClaimOrigin, Mode, Offence, Spared, Standing
from monitor.model.cursors import Cursor
from monitor.model.errors import MalformedRecord
from monitor.model.ports import unpack
from monitor.state.changes import Allowed, SavedContent, TallyKey

Row: TypeAlias = tuple[Any, ...]
_T = TypeVar("_T")

STRENGTHS: dict[Any, Strength] = {strength.value: strength for strength in Strength}
MODES: dict[Any, Mode] = {mode.value: mode for mode in Mode}
ORIGINS: dict[Any, ClaimOrigin] = {origin.value: origin for origin in ClaimOrigin}
_SPARED: dict[Any, Spared] = {spared.value: spared for spared in Spared}
_STANDINGS: dict[Any, Standing] = {standing.value: standing for standing in Standing}
_INTEGER_MAX = 2**63 - 1
_SHARED: dict[str, str] = {}
"""Texts shared by many bans, so that a hundred thousand bans keep each text only once in memory."""
_MAX_SHARED = 4096


def ban_row(ban: Ban) -> Row:
    """Return address, prefix length, strength, mode, since, until, detector, reason, origin, ports."""
    return (
        *network_row(ban.network),
        ban.strength.value,
        ban.mode.value,
        _time(ban.since_s),
        _time(ban.until_s),
        _text(ban.detector),
        _text(ban.reason),
        ban.origin.value,
        ban.network.ports,
    )


def read_ban(row: Row) -> Ban:
    """Decode a row of `ban_row`."""
    address, prefix_length, strength, mode, since_s, until_s, detector, reason, origin, ports = row
    check_network(address, prefix_length)
    if type(since_s) is not float or type(until_s) is not float or not math.isfinite(since_s + until_s):
        since_s, until_s = _time(since_s), _time(until_s)
    if type(detector) is not str or type(reason) is not str:
        detector, reason = _text(detector), _text(reason)
    if len(_SHARED) > _MAX_SHARED:
        _SHARED.clear()
    detector, reason = _SHARED.setdefault(detector, detector), _SHARED.setdefault(reason, reason)
    network = Network(address, prefix_length, check_ports(ports) if ports else b"")
    return Ban(network, _strength(strength), since_s, until_s, detector, reason, _mode(mode), _origin(origin))


def claim_key_row(key: ClaimKey) -> Row:
    """Return address, prefix length, ports, strength, origin, detector."""
    network, strength, origin, detector = key
    return *network_row(network), network.ports, strength.value, origin.value, _text(detector)


def offence_row(offence: Offence) -> Row:
    """Return time, address, prefix length, detector, strength, mode, bantime, step, reason, evidence, spared, standing.

    The last two are empty where an offence has none.
    """
    return (
        _time(offence.time_s),
        *network_row(offence.network),
        _text(offence.detector),
        offence.strength.value,
        offence.mode.value,
        _duration(offence.bantime_s),
        _count(offence.step),
        _text(offence.reason),
        _bytes(offence.evidence),
        offence.spared or "",
        offence.standing or "",
    )


def read_offence(row: Row) -> Offence:
    """Decode a row of `offence_row`."""
    time_s, address, prefix_length, detector, strength, mode, bantime_s, step, reason, evidence, spared, standing = row
    return Offence(
        time_s=_time(time_s),
        network=_network(address, prefix_length),
        detector=_text(detector),
        strength=_strength(strength),
        mode=_mode(mode),
        bantime_s=_duration(bantime_s),
        step=_count(step),
        reason=_text(reason),
        evidence=_bytes(evidence),
        spared=_one_of(_SPARED, spared),
        standing=_one_of(_STANDINGS, standing),
    )


def tally_row(item: tuple[TallyKey, int]) -> Row:
    """Return hour, detector, strength, outcome, count."""
    (hour, detector, strength, outcome), count = item
    return _count(hour), _text(detector), strength.value, outcome, _count(count)


def read_tally(row: Row) -> tuple[TallyKey, int]:
    """Decode a row of `tally_row`."""
    hour, detector, strength, outcome, count = row
    if outcome not in OUTCOMES:
        raise MalformedRecord("outcome", repr(outcome))
    return TallyKey(_count(hour), _text(detector), _strength(strength), outcome), _count(count)


def cursor_row(item: tuple[str, Cursor]) -> Row:
    """Return source, boot id, position."""
    source, cursor = item
    return _text(source), _text(cursor.boot_id), _position(cursor.position)


def read_cursor(row: Row) -> tuple[str, Cursor]:
    """Decode a row of `cursor_row`."""
    source, boot_id, position = row
    return _text(source), Cursor(_text(boot_id), _position(position))


def allowed_row(allowed: Allowed) -> Row:
    """Return address, prefix length, reason, added."""
    return *network_row(allowed.network), _text(allowed.reason), _time(allowed.added_s)


def read_allowed(row: Row) -> Allowed:
    """Decode a row of `allowed_row`."""
    address, prefix_length, reason, added_s = row
    return Allowed(_network(address, prefix_length), _text(reason), _time(added_s))


def window_row(item: tuple[str, SavedContent]) -> Row:
    """Return name, time saved, content."""
    name, saved = item
    return _text(name), _time(saved.saved_s), _bytes(saved.content)


def read_window(row: Row) -> tuple[str, SavedContent]:
    """Decode a row of `window_row`."""
    name, saved_s, content = row
    return _text(name), SavedContent(_time(saved_s), _bytes(content))


def network_row(network: Network) -> tuple[bytes, int]:
    """Return address, prefix length."""
    check_network(network.address, network.prefix_length)
    return network.address, network.prefix_length


def _network(address: Any, prefix_length: Any) -> Network:
    check_network(address, prefix_length)
    return Network(address, prefix_length)


def check_network(address: object, prefix_length: object) -> None:
    """Raise MalformedRecord unless these are a valid network."""
    if type(address) is not bytes or len(address) not in (4, 16):
        raise MalformedRecord("address", repr(address))
    bits = len(address) * 8
    if prefix_length == bits:
        return
    if type(prefix_length) is not int or not 0 <= prefix_length <= bits:
        raise MalformedRecord("prefix_length", repr(prefix_length))
    if network_of(address, prefix_length).address != address:
        raise MalformedRecord("host_bits", f"{address.hex()}/{prefix_length}")


def check_ports(value: object) -> bytes:
    """Return packed ports; MalformedRecord if they are not valid."""
    if not isinstance(value, bytes):
        raise MalformedRecord("ports", repr(value))
    try:
        unpack(value)
    except ValueError as error:
        raise MalformedRecord("ports", str(error)) from None
    return value


def _strength(value: object) -> Strength:
    try:
        return STRENGTHS[value]
    except KeyError:
        raise MalformedRecord("strength", repr(value)) from None


def _mode(value: object) -> Mode:
    try:
        return MODES[value]
    except KeyError:
        raise MalformedRecord("mode", repr(value)) from None


def _origin(value: object) -> ClaimOrigin:
    try:
        return ORIGINS[value]
    except KeyError:
        raise MalformedRecord("origin", repr(value)) from None


def _one_of(known: dict[Any, _T], value: object) -> _T | None:
    """Return the member of a closed set, None for the empty text."""
    if value == "":
        return None
    try:
        return known[value]
    except (KeyError, TypeError):
        raise MalformedRecord("word", repr(value)) from None


def _time(value: object) -> float:
    # SQLite converts NaN to NULL, and would then refuse the whole batch.
    if not isinstance(value, (float, int)) or not math.isfinite(value):
        raise MalformedRecord("time", repr(value))
    return float(value) + 0.0  # SQLite keeps no negative zero


def _duration(value: object) -> float:
    duration_s = _time(value)
    if duration_s < 0:
        raise MalformedRecord("duration", repr(value))
    return duration_s


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _INTEGER_MAX:
        raise MalformedRecord("count", repr(value))
    return value


def _position(value: object) -> int | str:
    if type(value) is int and -_INTEGER_MAX <= value <= _INTEGER_MAX:
        return value
    if type(value) is str:
        return _text(value)
    raise MalformedRecord("position", repr(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedRecord("text", repr(value))
    if value.isascii():
        return value
    # Lone surrogates, which may result from decoding invalid bytes, cannot be stored unchanged.
    return value.encode("utf-8", "backslashreplace").decode()


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedRecord("bytes", repr(value))
    return value
