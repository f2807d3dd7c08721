"""Registers log files."""

from monitor.model.events import AuthFailure
from monitor.sources.registration import Registration
from monitor.sources.tail.metrics import METRICS
from monitor.sources.tail.requirements import probe
from monitor.sources.tail.runner import FilesRunner
from monitor.sources.tail.settings import FilesSettings

REGISTRATION = Registration(
    name=FilesRunner.name,
    description="application logs in files",
    settings=FilesSettings,
    yields=(AuthFailure,),
    metrics=METRICS,
    make=lambda settings, context: FilesRunner(settings, context.scanner, context.cursors, context.process),
    probe=probe,
)
