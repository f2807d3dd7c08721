"""Everything that can be configured, composed from the sections of detectors, sources and bans."""
