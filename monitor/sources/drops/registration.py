"""Registers the drop counters."""

from monitor.model.events import DropsObserved
from monitor.sources.drops.metrics import METRICS
from monitor.sources.drops.requirements import probe
from monitor.sources.drops.runner import DropsRunner
from monitor.sources.drops.settings import DropCounting
from monitor.sources.registration import Registration

REGISTRATION = Registration(
    name=DropsRunner.name,
    description="packets that the kernel drops, and why",
    settings=DropCounting,
    yields=(DropsObserved,),
    metrics=METRICS,
    make=lambda settings, context: DropsRunner(settings, context.process, context.pods),
    probe=probe,
)
