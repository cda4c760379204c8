"""What hamon keeps of an evacuation: znodes, and the memory of its leader."""

import contextlib

from bench import footprint
from bench.nova_measured import Kept
from bench.nova_verdicts import LEFT_MAX
from lab import zookeeper
from lab.lab import Lab
from lab.names import LabError
from lab.processes import wait_until

OVER_TIMEOUT_S = 240.0
"""Longer than the lab's hamon remembers an incident, and watches a host that came back."""

POLL_S = 2.0


def kept_of(lab: Lab) -> Kept:
    """What it is now.

    Raises:
        LabError: no daemon leads, or ZooKeeper does not answer.
    """
    counters = _counters(lab)
    return Kept(
        znodes=int(counters["zk_znode_count"]),
        data_kib=int(counters["zk_approximate_data_size"]) / 1024,
        leader_mib=footprint.leader_mib(lab),
    )


def when_over(lab: Lab, before: Kept) -> Kept:
    """What it is when incidents are forgotten, or should have been.

    Raises:
        LabError: no daemon leads, or ZooKeeper does not answer.
    """

    def is_forgotten() -> bool:
        return int(_counters(lab)["zk_znode_count"]) <= before.znodes + LEFT_MAX

    # What is left then is what is to be told.
    with contextlib.suppress(LabError):
        wait_until(is_forgotten, "incidents forgotten", OVER_TIMEOUT_S, every_s=POLL_S)
    return kept_of(lab)


def _counters(lab: Lab) -> dict[str, str]:
    """Of the first server: all have the same znodes.

    Raises:
        LabError: ZooKeeper does not answer.
    """
    first = lab.controllers[0]
    init = first.init_process()
    counters = zookeeper.counters(lab.layout, first.name, init.pid) if init is not None else {}
    if "zk_znode_count" not in counters:
        raise LabError(f"the ZooKeeper server on {first.name} does not answer")
    return counters
