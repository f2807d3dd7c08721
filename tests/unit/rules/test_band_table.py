"""The table of what the bands find: it is about the rules as shipped, and a part of it is measured again."""

from pathlib import Path

import pytest

from tests.bands import table
from tests.bands.measure import firing_since, measure
from tests.bands.weeks import attacked_nodes, quiet_nodes


def test_the_page_has_the_figures_of_these_rules() -> None:
    """Every kind of week has a row, and the rules are those that were measured; else run `make bands`."""
    kept = table.kept()
    assert table.digest() in kept
    names = {node.name for node in (*quiet_nodes(2), *attacked_nodes(2))}
    assert set(table.rows(kept)) == names | {"no attack, but", "attack"}


def test_the_figures_hold_in_a_shorter_measurement(tmp_path: Path) -> None:
    """A rhythm with weekends raises no alert in a week; what the page says is found always is found."""
    (quiet,) = (node for node in quiet_nodes(2) if node.name.startswith("daily rhythm"))
    attacked = [node for node in attacked_nodes(2) if node.name.startswith(("service down", "threefold"))]
    silent, *found = measure([quiet, *attacked], tmp_path)
    rows = table.rows(table.kept())
    assert rows[quiet.name] == [f"{silent.alerts_a_week:.1f}"] == ["0.0"]
    for one in found:
        assert rows[one.node.name][0] == "12 of 12"
        assert one.found == len(one.node.attacks) > 3
        assert one.after_min <= 4


@pytest.mark.parametrize(
    ("active_min", "fires_min"),
    [([1], []), ([1, 2], [2]), ([1, 2, 3, 5, 6, 9, 15, 16], [2, 16]), ([1, 3, 5], [])],
)
def test_an_alert_waits_and_is_kept(active_min: list[int], fires_min: list[int]) -> None:
    """It fires when its expression held for a minute, and again only after five minutes without."""
    fired = firing_since([minute * 60 for minute in active_min], 60, 300)
    assert [at_s // 60 for at_s in fired] == fires_min
