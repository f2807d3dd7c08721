"""What tests, the demo and the benchmarks share."""
