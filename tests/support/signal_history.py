"""A synthetic day: the watched signals and their bands before the start of the lab, as OpenMetrics text.

Bands are learned from a day, and a lab runs only for minutes. The values are quiet, with a daily rhythm if the signal
has one, on the scale of the lab.
"""

import math
import random
from collections.abc import Iterator, Sequence

DAY_S = 86400
STEP_S = 60
_HOURS = 26
_SIGNALS = {
    "bans": (0.15, 0.0, 5.0),
    "alerts": (0.3, 0.0, 10.0),
    "drops": (3.0, 0.5, 50.0),
    "stopped": (0.5, 0.0, 50.0),
    "flows": (18.0, 0.4, 50.0),
    "conntrack": (0.004, 0.3, 0.1),
}
"""By signal: its mean, the part of it that varies with the hour, and half the width of its band."""


def signal_history(instances: Sequence[str], until_s: float, *, with_bands: bool = False) -> str:
    """Return one sample per minute of each signal, up to a time; `with_bands` also those of the recording rules."""
    labels = [
        f'cluster="default",job="nodewarden",instance="{instance}",signal="{signal}"'
        for instance in instances
        for signal in _SIGNALS
    ]
    begin_s = int(until_s - _HOURS * 3600) // STEP_S * STEP_S
    times = range(begin_s, int(until_s), STEP_S)
    dice = random.Random(7)
    courses = {label: list(_course(label.rpartition('signal="')[2][:-1], times, dice)) for label in labels}
    names = {"last2m": 0, "sample4m": 0, "max1h": 1, "min1h": 2}
    if with_bands:
        names |= {"lower": 3, "upper": 4, "anomaly": 5, "band": 6}
    lines: list[str] = []
    for operations, column in names.items():
        name = f"instance:nodewarden_signal:{operations}"
        lines.append(f"# TYPE {name} gauge")
        for label, course in courses.items():
            lines += [f"{name}{{{label}}} {at[column]:.6g} {time_s}" for time_s, at in zip(times, course, strict=True)]
    return "\n".join([*lines, "# EOF", ""])


def _course(signal: str, times: Sequence[int], dice: random.Random) -> Iterator[tuple[float, ...]]:
    """Yield value, highest and lowest of the hour, lower and upper edge, anomaly and kind of band at each time."""
    mean, swing, width = _SIGNALS[signal]
    for time_s in times:
        middle = mean * (1 + swing * math.sin(2 * math.pi * time_s / DAY_S))
        value = max(0.0, middle * dice.gauss(1, 0.15)) if swing else float(dice.random() < mean)
        band = 1.0 if signal in ("bans", "alerts") else 2.0
        yield value, 1.4 * middle, 0.0, 0.0, middle + width, 0.0, band
