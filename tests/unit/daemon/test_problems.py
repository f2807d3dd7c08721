"""Problems: each that `status` can print has a kind, a series, and an alert."""

import asyncio
import random
import re
from pathlib import Path

import pytest

from dashboards.problem_alerts import ALERTS_OF, SHARED, shared_kinds
from monitor.daemon.life.service import Service
from monitor.model.problems import UNHEALTHY, Problem, ProblemKind, worst_first
from monitor.settings.load import load
from tests.unit.config.support import write
from tests.unit.rules import support

_ROOT = Path(__file__).parents[3]
_RULES = {rule["alert"]: rule for rule in support.rules() if "alert" in rule}
_CODE = "\n".join(path.read_text() for path in sorted((_ROOT / "monitor").rglob("*.py")))


@pytest.mark.parametrize("kind", ProblemKind)
def test_every_kind_can_be_found(kind: ProblemKind) -> None:
    """Some part of the daemon names it: a kind that nothing has would be an alert that never fires."""
    sites = len(re.findall(rf"\bProblemKind\.{kind.name}\b", _CODE))
    assert sites > (kind in UNHEALTHY)


def test_every_kind_has_an_alert() -> None:
    """Either its own, or the one that is shared, whose rule names exactly the kinds without an alert of their own."""
    assert all(name in _RULES for names in ALERTS_OF.values() for name in names)
    (pattern,) = re.findall(r'nodewarden_problem\{kind=~"([^"]*)"\}', _RULES[SHARED]["expr"])
    assert sorted(pattern.split("|")) == sorted(shared_kinds())


def test_status_and_metric_agree(tmp_path: Path) -> None:
    """What `status` prints has a kind each, which is 1; all other kinds are 0."""
    path = write(tmp_path, f"state: {{directory: {tmp_path}}}\ndetectors: {{port_scan: {{mode: observe}}}}\n")

    async def run() -> None:
        service = Service(path, load(path))
        service._supervisor.batch_lost(1, ZeroDivisionError("a fault"))
        service.pipeline.listeners.errors["log"] = 3
        told = service._health.describe()
        assert len(told["problems"]) == len(told["problem_kinds"])
        assert told["problem_kinds"][0] == "internal"  # it was found last
        assert {"internal", "listener"} <= set(told["problem_kinds"])
        series = {labels[0]: value for name, labels, value in service._health.samples() if name == "nodewarden_problem"}
        assert series == {kind: float(kind in told["problem_kinds"]) for kind in ProblemKind}
        await service.close()

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(10))
def test_what_keeps_the_guard_from_its_work_comes_first(seed: int) -> None:
    """Whatever else is wrong: some readers see the first problem only. Otherwise the order is kept."""
    found = [Problem(kind, f"{kind}") for kind in ProblemKind]
    random.Random(seed).shuffle(found)
    ordered = worst_first(found)
    worst = [one for one in found if one.kind in UNHEALTHY]
    assert ordered == worst + [one for one in found if one.kind not in UNHEALTHY]
