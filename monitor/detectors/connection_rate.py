"""Connection rate: one source completes too many connections in a short time."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import integer
from monitor.detectors.origin_rate import RateDetector
from monitor.detectors.origins import origin_alert
from monitor.detectors.probes import our_party
from monitor.detectors.registration import Registration
from monitor.detectors.settings import BANTIME, RECENT, CountingSettings
from monitor.model.alerts import Alert
from monitor.model.bans import Mode
from monitor.model.flows import FlowBatch


class ConnectionRateSettings(CountingSettings, frozen=True, kw_only=True):
    """One source opens too many connections."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans; `observe` only records what would have been banned. Proxies, load balancers "
            "and networks behind one address open many connections: put yours on the allowlist before you enforce."
        ),
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, RECENT, Meta(description="How far back connections of a source are counted.")] = field(
        default=30.0, name="findtime"
    )
    bantime_s: Annotated[float, BANTIME, Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    maxretry: Annotated[
        int,
        integer(10, 10_000_000),
        Meta(description="Alert when one source completes this many connections within `findtime`."),
    ] = 30_000


class ConnectionRateDetector(RateDetector[FlowBatch]):
    """Fires for a source that completed `maxretry` handshakes within `findtime_s`."""

    name = "connection_rate"
    takes = (FlowBatch,)

    def feed(self, events: Sequence[FlowBatch]) -> Iterator[Alert]:
        """Yield the alerts that batches raised."""
        for batch in events:
            for origin, source, count in self.rate.add([flow.source for flow in batch.completed], batch.time_s):
                last = next(flow for flow in reversed(batch.completed) if flow.source == source)
                yield origin_alert(
                    self.name,
                    self.limits,
                    source,
                    batch.time_s,
                    count,
                    "connections",
                    handshakes=origin,
                    ours=our_party(last),
                )


DETECTOR = Registration(
    detector=ConnectionRateDetector,
    settings=ConnectionRateSettings,
    summary="One source completes too many connections in a short time.",
    make=lambda section, context: ConnectionRateDetector(section.limits(context.ipv6_prefix)),
    order=21,
)
