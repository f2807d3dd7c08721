"""The registry of benchmarks: every module of `bench.figures` registers its own."""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping

import msgspec

from bench import figures


class BenchmarkError(Exception):
    """A benchmark found a fault or cannot run here; the message says why."""


class Figure(msgspec.Struct, frozen=True):
    """One measured value; `peer` is the peer's value in the same run, and `ratio` is value divided by peer.

    `peers` has the values of all peers by name, None for one that could not be measured; `peer` is then the first.
    `sizes` has the values at other sizes of the input, by size; `value` is that at the largest.
    """

    name: str
    value: float
    unit: str
    peer: float | None = None
    ratio: float | None = None
    peers: dict[str, float | None] = {}
    sizes: dict[int, float] = {}

    @classmethod
    def with_peer(cls, name: str, value: float, unit: str, peer: float | None) -> "Figure":
        """Create a figure from a value and that of the peer, if the peer was measured."""
        return cls(name, value, unit, peer, value / peer if peer else None)

    @classmethod
    def with_peers(cls, name: str, value: float, unit: str, peers: Mapping[str, float | None]) -> "Figure":
        """Create a figure from a value and those of several peers, the first of which also gives the ratio."""
        first = next(iter(peers.values()), None)
        return cls(name, value, unit, first, value / first if first else None, dict(peers))

    @classmethod
    def with_sizes(cls, name: str, unit: str, sizes: Mapping[int, float]) -> "Figure":
        """Create a figure of growth: the cost of one unit at each size of the input, the smallest first."""
        return cls(name, list(sizes.values())[-1], unit, sizes=dict(sizes))

    @property
    def ahead(self) -> tuple[str, ...]:
        """The peers that are ahead: a rate should be high, anything else low."""
        sign = 1 if self.unit.endswith("/s") else -1
        return tuple(
            name for name, value in self.peers.items() if value is not None and sign * (value - self.value) > 0
        )

    def __str__(self) -> str:
        """Return one line: name, value, unit, the peers' values with the ratios, and who is ahead."""
        ratio = "" if self.ratio is None else f"   ratio {self.ratio:.2f}"
        if self.peers:
            peers = "   " + ", ".join(self._compared(name, value) for name, value in self.peers.items())
            ratio = f"   AHEAD: {', '.join(self.ahead)}" if self.ahead else ""
        else:
            peers = "" if self.peer is None else f"   peer {number(self.peer)}"
        peers += "".join(f"   at {size:,}: {number(value)}" for size, value in self.sizes.items())
        return f"{self.name:<28} {number(self.value):>12} {self.unit:<8}{peers}{ratio}".rstrip()

    def _compared(self, name: str, value: float | None) -> str:
        if value is None:
            return f"{name} not measured"
        return f"{name} {number(value)}" + (f" (ratio {self.value / value:.2f})" if value else "")


def number(value: float) -> str:
    """Write a number for people: no decimals from 1,000 on, else at most three."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}".rstrip("0").rstrip(".")


class Benchmark(msgspec.Struct, frozen=True):
    """A function that measures, and the names of the figures that it yields."""

    names: tuple[str, ...]
    run: Callable[[], Iterable[Figure]]

    @property
    def title(self) -> str:
        """The first line of the docstring of the function."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]

    def measure(self) -> list[Figure]:
        """Run it to the end; BenchmarkError if it does not yield exactly the figures it registered."""
        measured = list(self.run())
        if sorted(figure.name for figure in measured) != sorted(self.names):
            raise BenchmarkError(f"registered {self.names}, yielded {[figure.name for figure in measured]}")
        return measured


_benchmarks: list[Benchmark] = []


def benchmark(*names: str) -> Callable[[Callable[[], Iterable[Figure]]], Callable[[], Iterable[Figure]]]:
    """Register the decorated function as the benchmark that yields the figures of these names."""

    def register(run: Callable[[], Iterable[Figure]]) -> Callable[[], Iterable[Figure]]:
        _benchmarks.append(Benchmark(names, run))
        return run

    return register


def all_benchmarks() -> list[Benchmark]:
    """Import every module of `bench.figures`; return the registered benchmarks, in the order of the module names."""
    for module in sorted(pkgutil.iter_modules(figures.__path__), key=lambda module: module.name):
        importlib.import_module(f"{figures.__name__}.{module.name}")
    return list(_benchmarks)


def progress(text: str) -> None:
    """Print progress to standard error; only figures go to standard output."""
    print(f"  {text}", file=sys.stderr, flush=True)
