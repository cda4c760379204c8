"""A client that keeps libvirt busy while libvirtd stops and goes on; a process of its own.

A fault in libvirt's C code would end whoever runs it: ``python -m tests.contract.busy_client URI
PID ROUNDS``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from hamon.backends.libvirt.hypervisor import LibvirtHypervisor
from hamon.errors import HypervisorError

WITHIN_S = 60.0


async def keep_busy(uri: str, pid: int, rounds: int) -> None:
    """Have many calls under way each time libvirtd stops and goes on.

    Args:
        uri: of the libvirtd.
        pid: its process.
        rounds: how often it is stopped.
    """
    hypervisor = LibvirtHypervisor(uri, call_timeout_s=3.0, start_timeout_s=10.0)
    gone = asyncio.Event()
    hypervisor.on_connection(lambda is_reachable: None if is_reachable else gone.set())
    for _ in range(rounds):
        await _until_reachable(hypervisor)
        gone.clear()
        os.kill(pid, signal.SIGSTOP)
        async with asyncio.timeout(WITHIN_S):
            # Calls are made until the connection is given up, and are all late.
            while not gone.is_set():
                calls = [hypervisor.domains() for _ in range(6)]
                await asyncio.gather(*calls, return_exceptions=True)
        os.kill(pid, signal.SIGCONT)
    await _until_reachable(hypervisor)
    await hypervisor.close()


async def _until_reachable(hypervisor: LibvirtHypervisor) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                await hypervisor.domains()
            except HypervisorError:
                await asyncio.sleep(0.1)
            else:
                return


if __name__ == "__main__":
    asyncio.run(keep_busy(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
