"""nova-compute with Nova's fake driver, for hundreds of guests; runs in OpenStack's own venv.

At each claim the resource tracker reads the allocations of all guests of its host, one by one, for
a driver that reshapes its inventory and for PCI devices: with 300 guests more than five seconds a
claim, and claims come one after another. The fake driver has neither.
"""

import sys
from typing import Any

from nova.cmd import compute  # type: ignore[import-not-found,import-untyped,unused-ignore]
from nova.scheduler.client import report  # type: ignore[import-not-found,unused-ignore]


def no_allocations(*_: object) -> dict[str, Any]:
    """The allocations of a host whose inventory never changes its shape."""
    return {}


def main() -> None:
    """Be nova-compute, with its arguments."""
    report.SchedulerReportClient.get_allocations_for_provider_tree = no_allocations
    sys.exit(compute.main())


if __name__ == "__main__":
    main()
