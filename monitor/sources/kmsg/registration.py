"""Registers the kernel log."""

from monitor.model.events import PacketLogged
from monitor.sources.kmsg.metrics import METRICS
from monitor.sources.kmsg.requirements import probe
from monitor.sources.kmsg.runner import KernelLogRunner
from monitor.sources.kmsg.settings import KernelLogSettings
from monitor.sources.registration import Registration

REGISTRATION = Registration(
    name=KernelLogRunner.name,
    description="packets that firewall rules write to the kernel log",
    settings=KernelLogSettings,
    yields=(PacketLogged,),
    metrics=METRICS,
    make=lambda settings, context: KernelLogRunner(settings, context.cursors, context.process),
    probe=probe,
)
