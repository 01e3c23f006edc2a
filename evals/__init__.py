"""Measuring a served model and deciding on it: predictions over HTTP, metrics, statistics, the gate, the report."""
