"""Every kind of channel there is, found in the modules of `monitor.notify.sections`."""

from typing import Any

from monitor.model.registered import registered
from monitor.notify import sections
from monitor.notify.registration import Registration

KINDS: tuple[Registration[Any], ...] = tuple(
    sorted(registered(sections, "CHANNEL"), key=lambda one: (one.order, one.kind))
)
"""In the order of the reference."""
