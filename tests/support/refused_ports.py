"""Events of probes that the kernel dropped."""

from monitor.model.addresses import parse_address
from monitor.model.events import DROP_CLASSES, DropsObserved
from tests.support.flows import CLIENT


def probed(
    *, stealth: int = 0, closed: int = 0, first: int = 0, source: str = CLIENT, time_s: float = 1000.0
) -> DropsObserved:
    """Return an event in which this many bits are set from bit `first` on, of either bitmap."""
    return DropsObserved(
        time_s,
        parse_address(source),
        (0,) * len(DROP_CLASSES),
        stealth_ports=((1 << stealth) - 1) << first,
        closed_ports=((1 << closed) - 1) << first,
    )
