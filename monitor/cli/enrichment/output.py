"""Prints what enrichment adds for people, and what it could not find out."""

import sys
from typing import Any

from monitor.cli import show
from monitor.cli.enrichment.enricher import KEY, Enricher, registered_text


def say_enrichment(item: dict[str, Any]) -> None:
    """Print lines about an address, in `why` and `history`; none if nothing was looked up."""
    found = item.get(KEY, {})
    if "asn" in found:
        text = registered_text(found)
        show.say(f"  registered to {text}" if text else "  not in the databases of AS numbers")
    if "claimed_name" in found:
        show.say(f"  {_claim(found)}")


def _claim(found: dict[str, Any]) -> str:
    name, is_confirmed = found["claimed_name"], found["is_claim_confirmed"]
    if name is None:
        return "DNS does not answer what its name is"
    if not name:
        return "DNS has no name for it"
    if is_confirmed is None:
        return f"claims to be {name}: DNS does not answer whether that name has this address"
    return f"claims to be {name}: that name {'has this address' if is_confirmed else 'does not have this address'}"


def finish(enricher: Enricher) -> None:
    """Say on standard error what is missing; exit code 1 where a database could not be used."""
    for note in enricher.notes():
        show.say(f"note: {note}", err=True)
    if faults := enricher.faults():
        for fault in faults:
            show.say(f"nodewarden: {fault}", err=True)
        sys.exit(1)
