"""How often the bands of `dashboards/rules` raise an alert over synthetic weeks, and what they find: `make bands`."""
