"""Files of the system: changes by inotify, access, bounded reads."""
