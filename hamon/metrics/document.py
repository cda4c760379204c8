"""Writes docs/metrics.md: ``python -m hamon.metrics.document > docs/metrics.md``."""

from __future__ import annotations

import sys

from hamon.metrics.registry import ALL, Metric

_HEADER = """\
# Metrics

Served on `metrics.listen` (config/hamon.toml) for Prometheus.
Written from `hamon/metrics/registry.py` by `python -m hamon.metrics.document`; a test compares.
Besides these there is what prometheus-client tells about the process (`process_*`).

| name | kind | labels | meaning |
|---|---|---|---|
"""


def rendered() -> str:
    """Return the page."""
    return _HEADER + "".join(map(_row, ALL))


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |\n"


if __name__ == "__main__":
    sys.stdout.write(rendered())
