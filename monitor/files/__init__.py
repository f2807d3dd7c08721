"""Files of the system: change notification by inotify, access checks, bounded reads."""
