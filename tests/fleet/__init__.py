"""What the dashboards cost with 500 nodes: synthetic series in a real Prometheus."""
