"""Registers connection tracking."""

from monitor.model.flows import FlowBatch, FlowIncomplete, OutboundIncomplete
from monitor.sources.conntrack.metrics import METRICS
from monitor.sources.conntrack.requirements import probe
from monitor.sources.conntrack.runner import ConntrackRunner
from monitor.sources.conntrack.settings import ConntrackSettings
from monitor.sources.registration import Registration

REGISTRATION = Registration(
    name=ConntrackRunner.name,
    description="connections that the kernel tracks",
    settings=ConntrackSettings,
    yields=(FlowBatch, FlowIncomplete, OutboundIncomplete),  # batches hold the attempts that stayed incomplete
    metrics=METRICS,
    make=lambda settings, context: ConntrackRunner(settings, context.process, context.take_running),
    probe=probe,
)
