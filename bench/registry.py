"""The registry of benchmarks: every module of `bench.figures` registers its own."""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable

import msgspec

from bench import figures


class BenchmarkError(Exception):
    """A benchmark found a fault or cannot run here; the message says why."""


class Figure(msgspec.Struct, frozen=True):
    """One measured value; `peer` is the peer's value in the same run, and `ratio` is value divided by peer."""

    name: str
    value: float
    unit: str
    peer: float | None = None
    ratio: float | None = None

    @classmethod
    def with_peer(cls, name: str, value: float, unit: str, peer: float | None) -> "Figure":
        """Create a figure from a value and that of the peer, if the peer was measured."""
        return cls(name, value, unit, peer, value / peer if peer else None)

    def __str__(self) -> str:
        """Return one line: name, value, unit, and if there is a peer its value and the ratio."""
        peer = "" if self.peer is None else f"   peer {_number(self.peer)}"
        ratio = "" if self.ratio is None else f"   ratio {self.ratio:.2f}"
        return f"{self.name:<28} {_number(self.value):>12} {self.unit:<8}{peer}{ratio}".rstrip()


def _number(value: float) -> str:
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
