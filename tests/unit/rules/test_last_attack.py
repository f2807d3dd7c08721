"""When a node was last attacked, as the overview shows it."""

from pathlib import Path

from tests.unit.rules import support
from tests.unit.rules.support import NODE, series

_LAST = "instance:nodewarden_attack:last_timestamp_seconds"


def _is(at_min: int, last_min: int | None) -> dict[str, object]:
    """Return the test that at a minute this is when the last attack was; None: there was none."""
    samples = [{"labels": f"{_LAST}{{{NODE}}}", "value": last_min * 60}] if last_min is not None else []
    return {"expr": _LAST, "eval_time": f"{at_min}m", "exp_samples": samples}


def test_the_last_flood_is_remembered(tmp_path: Path) -> None:
    """From the flood on, for as long as nothing else happens."""
    floods = {series("nodewarden_detector_floods_total", 'detector="half_open"'): "0x9 1x30 2x90"}
    support.run(tmp_path, floods, expressions=[_is(9, None), _is(11, 11), _is(39, 11), _is(42, 42), _is(120, 42)])


def test_a_signal_below_its_band_is_no_attack(tmp_path: Path) -> None:
    """What is above the band counts, a service that is down does not."""
    inputs = {
        series("instance:nodewarden_signal:upper", 'signal="conntrack"'): "0.3x60",
        series("instance:nodewarden_signal:lower", 'signal="conntrack"'): "0.1x60",
        series("nodewarden_conntrack_entries"): "5x9 20x9 50x2 20x30",
        series("nodewarden_conntrack_entries_limit"): "100x60",
    }
    support.run(tmp_path, inputs, expressions=[_is(19, None), _is(22, 22), _is(40, 22)])
