"""How do programs that watch a service see what it did by itself? As counters among its metrics."""

from collections.abc import Iterator
from dataclasses import asdict

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from muster.server.services.parts import Tally

_TEXTS = {
    "activated": ("muster_workflows_activated", "Workflows that this service let in."),
    "launched": ("muster_taskforces_launched", "Taskforces that this service let through to their sites."),
}


class TallyCollector(Collector):
    """Reads a tally whenever the metrics are asked for."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[CounterMetricFamily]:
        for name, count in asdict(self._tally).items():
            yield CounterMetricFamily(*_TEXTS[name], value=count)
