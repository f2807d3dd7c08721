"""All dashboards, and how they are written as JSON."""

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import anomalies, detectors, drops, fleet, guard, overview, pods, traffic, who

BOARDS: dict[str, Dashboard] = {
    "overview": overview.made(),
    "anomalies": anomalies.made(),
    "drops": drops.made(),
    "pods": pods.made(),
    "detectors": detectors.made(),
    "traffic": traffic.made(),
    "guard": guard.made(),
    "fleet": fleet.made(),
    "who": who.made(),
}


def text_of(dashboard: Dashboard) -> str:
    """Return a dashboard as the JSON that Grafana reads, always written the same way."""
    tree = json.loads(JSONEncoder().encode(dashboard))
    panels = [one for top in tree["panels"] for one in (top, *top.get("panels", ()))]
    for link in (*tree["links"], *(link for panel in panels for link in panel.get("links", ()))):
        del link["placement"]  # the library hides links in a menu: at three in the morning nobody finds them there
    return json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
