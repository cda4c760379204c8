"""Writes docs/metrics.md: ``python -m hamon.metrics.document > docs/metrics.md``."""

from __future__ import annotations

import sys

from hamon.metrics.registry import OF_AGENT, OF_DAEMON, SHARED, Metric

_HEADER = """\
# Metrics

Written from `hamon/metrics/registry.py` by `python -m hamon.metrics.document`; a test compares.
A daemon serves its metrics on `metrics.listen` (config/hamon.toml; 127.0.0.1:9731), the guests
process of a compute host its own on `metrics.listen` of config/agent.toml (127.0.0.1:9732). Besides
these there is what prometheus-client tells about the process (`process_*`).
"""
_TABLE = """
## {of}

| name | kind | labels | meaning |
|---|---|---|---|
"""


def rendered() -> str:
    """Return the page."""
    parts = [_HEADER]
    for of, metrics in (("Daemon and agent", SHARED), ("Daemon", OF_DAEMON), ("Agent", OF_AGENT)):
        own = [metric for metric in metrics if metrics is SHARED or metric not in SHARED]
        parts += [_TABLE.format(of=of), *map(_row, own)]
    return "".join(parts)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |\n"


if __name__ == "__main__":
    sys.stdout.write(rendered())
