"""Code shared by tests, the demo and the benchmarks."""
