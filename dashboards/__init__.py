"""The Grafana dashboards as code: one module a dashboard, JSON for provisioning in `json/`."""
