"""Registers the XDP program."""

from monitor.model.events import SenderObserved
from monitor.sources.registration import Registration
from monitor.sources.xdp.metrics import METRICS
from monitor.sources.xdp.requirements import probe
from monitor.sources.xdp.runner import XdpRunner
from monitor.sources.xdp.settings import XdpSettings

REGISTRATION = Registration(
    name=XdpRunner.name,
    description="packets that arrive at an interface, before the network stack",
    settings=XdpSettings,
    yields=(SenderObserved,),
    metrics=METRICS,
    make=lambda settings, context: XdpRunner(settings, context.xdp, context.process),
    probe=probe,
)
