"""The sources at work, and the filters that logs share."""
