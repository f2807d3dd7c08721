"""Registers the drop counters."""

from monitor.model.events import DropsObserved
from monitor.sources.drops.metrics import METRICS
from monitor.sources.drops.requirements import probe
from monitor.sources.drops.runner import DropsRunner
from monitor.sources.drops.settings import DropsSettings
from monitor.sources.registration import Registration

REGISTRATION = Registration(
    name=DropsRunner.name,
    description="packets that the kernel drops, and why",
    settings=DropsSettings,
    yields=(DropsObserved,),
    metrics=METRICS,
    make=lambda settings, context: DropsRunner(settings, context.process),
    probe=probe,
)
