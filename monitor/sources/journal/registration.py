"""Registers the systemd journal."""

from monitor.model.events import AuthFailure
from monitor.sources.journal.metrics import METRICS
from monitor.sources.journal.requirements import probe
from monitor.sources.journal.runner import JournalRunner
from monitor.sources.journal.settings import JournalSettings
from monitor.sources.registration import Registration

REGISTRATION = Registration(
    name=JournalRunner.name,
    description="application logs in the systemd journal",
    settings=JournalSettings,
    yields=(AuthFailure,),
    metrics=METRICS,
    make=lambda settings, context: JournalRunner(settings, context.scanner, context.cursors, context.process),
    probe=probe,
)
