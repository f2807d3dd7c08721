"""What the source of log files counted."""

import msgspec


class TailStats(msgspec.Struct):
    """What the source counted; all totals but the numbers of files, the last three."""

    records: int = 0
    """Lines."""
    bytes: int = 0
    cut_lines: int = 0
    """Lines longer than `max_line_bytes`: their end is missing, and they prove nothing."""
    untrusted: int = 0
    """Lines that others than the system can have written, cut ones among them."""
    rotations: int = 0
    """Files that replaced another of the same name."""
    truncations: int = 0
    """Files that were emptied. What was unread then is lost, unless a copy was made; how much is not known."""
    lost: int = 0
    """Gaps: the data at a saved cursor was gone, or too many generations were unread. How many lines is not known."""
    lost_bytes: int = 0
    """Ends of files without a newline, and generations that were given up."""
    malformed: int = 0
    """Reads that failed."""
    files: int = 0
    """Files that are being followed."""
    unreadable_files: int = 0
    """Files that are there but cannot be read."""
    unfollowed_files: int = 0
    """Files that are not followed because there are too many."""
