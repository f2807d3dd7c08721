"""Files that no daemon recorded as inputs for a replay: logs, the kernel's log, connection tracking, captures.

Each reader turns one kind of file into batches of events, in the order of their times, with the decoders and filters of
the sources. None ever raises because of what is in a file: damage ends it or is counted, and is named in its report.
"""
