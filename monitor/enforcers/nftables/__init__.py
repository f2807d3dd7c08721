"""The table inet nodewarden: sets, rules, elements and drift."""
