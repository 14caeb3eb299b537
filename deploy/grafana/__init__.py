"""Grafana: dashboards as tables of Python, written as JSON by `python -m deploy.grafana.generate`."""
