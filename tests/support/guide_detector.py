"""Runs the detector of the contributor's guide in a tree that has it: `python -m tests.support.guide_detector CONFIG`.

Prints its state in the configuration, the pipeline, `status` and the metrics, as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

from monitor.control.protocol import Status
from monitor.daemon.life.samples import PipelineSamples
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.settings.load import load
from monitor.settings.reference import json_schema, reference_markdown
from tests.support.answers import answers_of
from tests.support.events import tcp
from tests.support.flows import CLIENT
from tests.support.policy import small_table

NAME = "slow_knock"
_KNOCKS = 3


def run(path: Path) -> dict[str, Any]:
    """Load a configuration, send probes to port 22 for three minutes, and return the state of the detector."""
    settings = load(path).settings
    pipeline = Pipeline(settings, (), small_table)
    decided = []
    for minute in range(_KNOCKS):
        now_s = 1000.0 + 60.0 * minute
        decided.append([one.detector for one in pipeline.process([tcp(CLIENT, 22, time_s=now_s)], now_s)])
    answers = answers_of(pipeline, path.parent)
    (status,) = (one for one in answers.look_up(Status()).result["detectors"] if one["name"] == NAME)
    return {
        "decided": decided,
        "status": status,
        "samples": sorted({name for name, labels, _ in PipelineSamples(pipeline).samples() if labels[:1] == (NAME,)}),
        "reference": f"## detectors.{NAME}" in reference_markdown(),
        "schema": sorted(json_schema()["properties"]["detectors"]["properties"][NAME]["properties"]),
    }


if __name__ == "__main__":
    json.dump(run(Path(sys.argv[1])), sys.stdout)
