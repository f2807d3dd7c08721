"""Files that no daemon recorded, read for a replay."""
