"""Detectors: named rules over events, with findtime and maxretry; they take time from the event."""
