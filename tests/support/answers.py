"""Answers commands about a pipeline without a daemon."""

from pathlib import Path

from monitor.daemon.control.event_presentation import show_event
from monitor.daemon.control.fleet_answers import FleetAnswers
from monitor.daemon.control.orders import Orders
from monitor.daemon.control.requests import Answers
from monitor.daemon.fleet.watch import FleetWatch
from monitor.daemon.pipeline.event_stream import EventStream
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.state.saver import Saver
from tests.support.fleet_view import Member


def answers_of(pipeline: Pipeline, directory: Path, fleet: Member | None = None) -> Answers:
    """Return the answers for commands about this pipeline; nothing is saved in the directory."""
    member = fleet or Member()
    orders = Orders(pipeline, Saver(directory / "nodewarden.db"))
    return Answers(
        pipeline,
        orders,
        EventStream(show_event),
        lambda: {"problems": []},
        list,
        dict,
        lambda network, limit: [],
        _look_back,
        _save,
        list,
        _record,
        _try,
        FleetAnswers(member, FleetWatch(member), pipeline),
    )


def _try(request: object) -> dict[str, object]:
    """Have no trial configuration."""
    return {"waiting": None, "ended": None}


async def _save() -> bool:
    """Save nothing."""
    return True


async def _look_back(request: object) -> dict[str, object]:
    raise NotImplementedError


async def _record(action: str) -> dict[str, object]:
    """Record nothing."""
    return {}
