"""Answers to commands, of a pipeline that has no daemon around it."""

from pathlib import Path

from monitor.daemon.control.orders import Orders
from monitor.daemon.control.requests import Answers
from monitor.daemon.pipeline.event_stream import EventStream
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.state.saver import Saver


def answers_of(pipeline: Pipeline, directory: Path) -> Answers:
    """Return what answers commands about this pipeline; nothing is saved below the directory."""
    orders = Orders(pipeline, Saver(directory / "nodewarden.db"))
    return Answers(pipeline, orders, EventStream(), dict, dict, lambda network, limit: [], lambda: True, lambda: None)
