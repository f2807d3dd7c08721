"""The table inet nodewarden: sets, rules, elements, drift."""
