"""Reads what suggestions need in addition to the facts: networks around the node, and destinations that it used."""

from pathlib import Path

from monitor.audit.suggest.destinations import KINDS, Destinations, as_yaml
from monitor.audit.suggest.suggestion import Neighbourhood
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.node.addresses import read_node
from monitor.recording.reader import Recording

_MOST_NETWORKS = 256


def read_neighbourhood() -> Neighbourhood:
    """Return the networks around the node; never raises."""
    try:
        networks = read_node(()).networks
    except SYSTEM_FAULTS as error:
        return Neighbourhood(lack=explain(error))
    inside = tuple(dict.fromkeys((*networks.inner, *networks.behind)))
    lack = f"there are more than {_MOST_NETWORKS}" if len(inside) > _MOST_NETWORKS else ""
    return Neighbourhood(uplink=networks.uplink[:_MOST_NETWORKS], inside=inside[:_MOST_NETWORKS], lack=lack)


def read_destinations(directory: Path, since_s: float) -> tuple[str, str]:
    """Return YAML with the destinations that were used, or an empty text and why there are none; never raises."""
    found = Destinations()
    try:
        found.take_all(Recording(directory).inputs(since_s, wanted=KINDS))
    except SYSTEM_FAULTS as error:
        return "", explain(error)
    if not found.last_s:
        return "", f"{directory} has no connections: recording and the source conntrack must be on"
    return as_yaml(found), "" if found.uses else "no connection out was completed in that time"
