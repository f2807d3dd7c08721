"""The committed JSON is what the code makes, what Grafana knows, and what people can read."""

import json
import re
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import COLUMNS, TAG
from dashboards.boards import BOARDS, text_of
from dashboards.colours import NEUTRAL, coloured
from tests.support.dashboards import JSON, NAMES, load, panels

_UIDS = {
    "overview": "nodewarden-overview",
    "anomalies": "nodewarden-anomalies",
    "drops": "nodewarden-drops",
    "pods": "nodewarden-pods",
    "detectors": "nodewarden-detectors",
    "traffic": "nodewarden-traffic",
    "guard": "nodewarden-guard",
    "fleet": "nodewarden-fleet",
    "who": "nodewarden-who",
}
"""As people have linked to them: a dashboard keeps its uid for ever."""


def test_the_committed_json_is_what_the_code_makes() -> None:
    """`make dashboards` would change nothing, and no file is left over."""
    assert list(BOARDS) == list(_UIDS)
    assert sorted(BOARDS) == NAMES
    for name, made in BOARDS.items():
        assert (JSON / f"{name}.json").read_text() == text_of(made), f"{name}: run make dashboards and commit"


def _through_the_models(dashboard: dict[str, Any]) -> dict[str, Any]:
    """Read a dashboard into Grafana's own models and write it again."""
    register_default_plugins()
    written: dict[str, Any] = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    for link in written["links"]:
        del link["placement"]  # the models always write one, whatever they read
    return written


@pytest.mark.parametrize("name", NAMES)
def test_grafanas_models_know_every_key(name: str) -> None:
    """Read into Grafana's own models and written again, nothing is lost: an option nobody knows would be."""
    assert _through_the_models(load(name)) == load(name)


def test_an_unknown_key_is_found() -> None:
    """The test above can fail: misspelt options of a panel, its fields and its query do not survive the models."""
    for path in (("options",), ("fieldConfig", "defaults"), ("fieldConfig", "defaults", "custom"), ("targets", 0)):
        spoilt = load("overview")
        place: Any = next(one for one in panels(spoilt) if one["type"] == "timeseries")
        for step in path:
            place = place[step]
        place["lineWidht"] = 3
        assert _through_the_models(spoilt) != spoilt, path


@pytest.mark.parametrize("name", NAMES)
def test_links_and_tags_hold(name: str) -> None:
    """The uid is the one people link to; all dashboards share a tag and link to each other, time and nodes kept."""
    dashboard = load(name)
    assert dashboard["uid"] == _UIDS[name]
    assert dashboard["tags"] == [TAG]
    assert dashboard["editable"] is False
    (link,) = dashboard["links"]
    assert (link["type"], link["tags"]) == ("dashboards", [TAG])
    assert link["keepTime"]
    assert link["includeVars"]
    for address in re.findall(r"/d/([\w-]+)", json.dumps(dashboard)):
        assert address in _UIDS.values(), f"a link to {address}, which is no dashboard"


@pytest.mark.parametrize("name", NAMES)
def test_nodes_can_be_chosen(name: str) -> None:
    """Data source, job, cluster and node are variables; of nodes several can be chosen, or all, down ones included."""
    variables = {one["name"]: one for one in load(name)["templating"]["list"]}
    assert list(variables)[:4] == ["datasource", "job", "cluster", "instance"]
    assert variables["datasource"]["type"] == "datasource"
    for label in ("job", "cluster", "instance"):
        assert variables[label]["multi"]
        assert variables[label]["includeAll"]
        assert variables[label]["datasource"]["uid"] == "${datasource}"
    assert variables["instance"]["allValue"] == ".+"
    assert {name: variables[name]["label"] for name in ("job", "instance")} == {"job": "Job", "instance": "Instance"}


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_can_be_read(name: str) -> None:
    """Each has a title, a unit, a description of what a rise means and what to do, and the chosen data source."""
    for panel in panels(load(name)):
        title = panel["title"]
        assert title
        shows, rise, act = panel["description"].split("\n\n")
        assert len(shows) > 20, title
        assert rise.startswith("**If it rises:** "), title
        assert act.startswith("**Do:** "), title
        assert all(part.endswith((".", "?")) for part in (shows, rise, act)), title
        assert panel["fieldConfig"]["defaults"]["unit"], title
        source = panel["datasource"]
        assert source in ({"type": "prometheus", "uid": "${datasource}"}, {"type": "loki", "uid": "${loki}"}), title
        assert all(target["datasource"] == source for target in panel["targets"]), title
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"], title


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_a_place_of_their_own(name: str) -> None:
    """Numbers are unique, nothing overlaps, nothing sticks out, and no two panels have the same title."""
    dashboard = load(name)
    everything = [one for top in dashboard["panels"] for one in (top, *top.get("panels", ()))]
    assert len({one["id"] for one in everything}) == len(everything)
    assert all(top["collapsed"] for top in dashboard["panels"] if top.get("panels"))
    taken: dict[tuple[int, int], str] = {}
    for one in everything:
        place = one["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), one["title"]) == one["title"], f"{one['title']} overlaps"
    titles = [one["title"] for one in panels(dashboard)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_told_apart(name: str) -> None:
    """Within a panel, each query has its own letter."""
    for panel in panels(load(name)):
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]


def _is_met(override: dict[str, Any], names: set[str]) -> bool:
    """Whether an override is for one of these names, of which labels stand for what they can be."""
    wanted = override["matcher"]["options"]
    if override["matcher"]["id"] == "byRegexp":
        return any(re.search(wanted.strip("/"), name) for name in names)
    return wanted in names or any(wanted == made for name in names for made, _ in coloured(name, iter(NEUTRAL)))


@pytest.mark.parametrize("name", NAMES)
def test_overrides_meet_something(name: str) -> None:
    """Looks that are for one series by name are for one that a query makes, or a table's column."""
    for panel in panels(load(name)):
        for override in panel["fieldConfig"]["overrides"]:
            assert _is_met(override, _named(panel)), (panel["title"], override["matcher"])


def test_descriptions_refer_to_what_there_is() -> None:
    """What a description names in italics is a dashboard, a panel, a value of a card, or a column of a table."""
    known: set[str] = set()
    described: list[tuple[str, str]] = []
    for name in NAMES:
        known.add(load(name)["title"].removeprefix("nodewarden / "))
        for panel in panels(load(name)):
            known |= {panel["title"], *_named(panel)}
            described.append((panel["title"], panel["description"]))
    for title, description in described:
        referred = set(re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", description))
        assert referred <= known, title


def _named(panel: dict[str, Any]) -> set[str]:
    """Return what a panel's series or columns are called."""
    names = {target.get("legendFormat", "") for target in panel["targets"]}
    for change in panel.get("transformations", ()):
        names |= set(change["options"].get("renameByName", {}).values())
    return names


def test_what_the_linter_excludes_has_a_reason() -> None:
    """Grafana's dashboard-linter reads exclusions from a file among the dashboards; each says why."""
    exclusions = yaml.safe_load((JSON / ".lint").read_text())["exclusions"]
    assert exclusions
    assert all(one["reason"] for one in exclusions.values())


_LAPTOP_PX, _EDGES_PX = 1000, 24
"""A narrow window, and what a panel keeps of it for its edges."""


@pytest.mark.parametrize("name", NAMES)
def test_no_column_is_lost_in_a_narrow_window(name: str) -> None:
    """All columns of a table fit into a window of 1000 pixels."""
    for panel in panels(load(name)):
        if panel["type"] == "table":
            room_px = _LAPTOP_PX * panel["gridPos"]["w"] / COLUMNS - _EDGES_PX
            assert _width_px(panel) <= room_px, panel["title"]


def _width_px(panel: dict[str, Any]) -> int:
    """Return how wide a table is at least: keys with their widths, and its other columns."""
    fixed = [
        prop["value"]
        for one in panel["fieldConfig"]["overrides"]
        for prop in one["properties"]
        if prop["id"] == "custom.width"
    ]
    least = panel["fieldConfig"]["defaults"].get("custom", {}).get("minWidth", 100)
    width_px: int = sum(fixed) + least * len(panel["targets"])
    return width_px


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_events_have_a_row_for_each_detector(name: str) -> None:
    """Recorded rises have no series where nothing happened: in a table with several columns each is filled with 0."""
    for panel in panels(load(name)):
        if panel["type"] == "table" and len(panel["targets"]) > 1:
            for target in panel["targets"]:
                assert ":increase15s{" not in target["expr"] or " or " in target["expr"], panel["title"]
