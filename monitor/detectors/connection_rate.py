"""Connection rate: one source completes too many connections in a short time."""

from collections.abc import Iterable

from monitor.detectors.flow_limits import RateDetector, flow_alert
from monitor.model.alerts import Alert
from monitor.model.flows import FlowBatch


class ConnectionRate(RateDetector):
    """Fires for a source that completed `maxretry` handshakes within `findtime_s`."""

    name = "connection_rate"

    def feed(self, batch: FlowBatch) -> Iterable[Alert]:
        """Return the alerts that a batch raised."""
        limits = self.thresholds
        for origin, source, count in self.rate.add([flow.source for flow in batch.completed], batch.time_s):
            yield flow_alert(self.name, limits, source, batch.time_s, count, "connections", handshakes=origin)
