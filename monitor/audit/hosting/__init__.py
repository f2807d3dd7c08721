"""Reads what the checks need to know of the host: sysctls, processes, and the files that processes name."""
