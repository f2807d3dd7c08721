"""The benchmarks: one per file; every file in this directory is found automatically."""
