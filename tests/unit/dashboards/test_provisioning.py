"""The examples of provisioning fit each other, the dashboards and the rules."""

import re
from pathlib import Path
from typing import Any

import yaml

from dashboards.problem_alerts import SHARED, shared_kinds
from tests.support.dashboards import NAMES, load
from tests.support.prometheus import EXAMPLE, RULES
from tests.unit.rules import support

_PROVISIONING = EXAMPLE.parent


def _read(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((_PROVISIONING / name).read_text())
    return read


def test_grafana_knows_the_scrape_interval() -> None:
    """The data source's interval is Prometheus': without it, windows of rates are too short and lines become dots."""
    (source,) = _read("datasource.yaml")["datasources"]
    assert source["jsonData"]["timeInterval"] == _read("prometheus.yml")["global"]["scrape_interval"]
    assert source["type"] == "prometheus"


def test_scraped_series_have_what_dashboards_and_rules_ask_for() -> None:
    """Job and cluster are labels of everything scraped; the rule files there are would be loaded."""
    settings = _read("prometheus.yml")
    (job,) = settings["scrape_configs"]
    assert job["job_name"] == "nodewarden"
    assert set(job["static_configs"][0]["labels"]) == {"cluster"}
    (pattern,) = settings["rule_files"]
    assert RULES
    assert all(Path(path.name).match(Path(pattern).name) for path in RULES)


def test_the_dashboards_are_provided_and_cannot_be_edited_into_a_difference() -> None:
    """Grafana takes them from files and does not let people save over them."""
    (provider,) = _read("dashboards.yaml")["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    assert not any(load(name)["editable"] for name in NAMES)


def test_the_operators_page_names_every_dashboard() -> None:
    """docs/dashboards.md shows each one with a picture that is there and small."""
    docs = Path(__file__).parents[3] / "docs"
    page = (docs / "dashboards.md").read_text()
    shown = re.findall(r"!\[[^\]]*\]\((images/[\w.-]+)\)", page)
    assert sorted(shown) == [f"images/dashboard-{name}.png" for name in NAMES]
    assert all((docs / image).stat().st_size < 200_000 for image in shown)
    assert all(load(name)["title"].removeprefix("nodewarden / ") in page for name in NAMES)


def _meant(matchers: list[str]) -> set[str]:
    """Return the alerts that the matchers of an inhibition are about."""
    names = {rule["alert"] for rule in support.rules() if "alert" in rule}
    (pattern,) = (found[1] for found in (re.fullmatch(r'alertname=~?"(.*)"', one) for one in matchers) if found)
    for part in pattern.split("|"):
        assert any(re.fullmatch(part, name) for name in names), f"there is no alert {part}"
    return {name for name in names if re.fullmatch(pattern, name)}


def test_inhibitions_are_about_alerts_that_exist_and_leave_the_cause() -> None:
    """Each side names alerts of the rules, none inhibits itself, nothing more severe is hidden by a warning."""
    settings = _read("alertmanager.yml")
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in support.rules() if "alert" in rule}
    hides: dict[str, set[str]] = {}
    for rule in settings["inhibit_rules"]:
        for cause in _meant(rule["source_matchers"]):
            hides.setdefault(cause, set()).update(_meant(rule["target_matchers"]))
    for cause, hidden in hides.items():
        assert severities[cause] == "critical" or not any(severities[name] == "critical" for name in hidden)
        assert not any(cause in hides.get(name, ()) for name in hidden), "both would be silent"


def test_problems_are_hidden_by_their_kind() -> None:
    """What is wrong besides is still reported, unless the daemon is down and its reports are old."""
    kinds = set(shared_kinds())
    for rule in _read("alertmanager.yml")["inhibit_rules"]:
        is_old = _meant(rule["source_matchers"]) <= {"NodewardenDown", "NodewardenCrashLoop"}
        if SHARED not in _meant(rule["target_matchers"]) or is_old:
            continue
        found = [re.fullmatch(r'kind=~?"(.*)"', one) for one in rule["target_matchers"]]
        named = {kind for one in found if one for kind in one[1].split("|")}
        assert named, f"{rule['source_matchers']} hides every problem"
        assert named <= kinds


def test_one_flood_is_one_page() -> None:
    """What a flood raises on the node that it hits is inhibited by the flood's own alert."""
    rules = _read("alertmanager.yml")["inhibit_rules"]
    flood = [rule for rule in rules if "NodewardenFlood" in _meant(rule["source_matchers"])]
    hidden = set().union(*(_meant(rule["target_matchers"]) for rule in flood))
    assert hidden >= {"NodewardenAnomaly", "NodewardenBudgetExhausted", SHARED}
    assert all(rule["equal"] == ["cluster", "instance"] for rule in flood)
    receivers = {one["name"] for one in _read("alertmanager.yml")["receivers"]}
    route = _read("alertmanager.yml")["route"]
    assert {route["receiver"], *(one["receiver"] for one in route["routes"])} <= receivers
