"""The benchmarks: one a file, found by being here."""
