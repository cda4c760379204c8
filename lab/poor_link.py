"""A poor link: between a machine and a plane every frame comes late, and some never.

The kernels on which labs run have no netem, so a program carries the frames: the machine's port
is taken off its bridge, and what comes out of either is given to the other, later or not at all.
"""

import argparse
import asyncio
import collections
import random
import socket
import sys
from dataclasses import dataclass

from lab import network
from lab.names import PROJECT, LabError, Layout, MachineName, Plane
from lab.network import in_switch, port_name
from lab.processes import kill_session, read_record, run, start_recorded, wait_until

# Of linux/if_packet.h and linux/if_ether.h; not in Python's socket module.
_SOL_PACKET = 263
_PACKET_VNET_HDR = 15
_PACKET_IGNORE_OUTGOING = 23
_ETH_P_ALL = 0x0003
# A segment that is still to be cut, with its headers and what the kernel says of it.
_FRAME_MAX = 70_000
_CARRIES = "carries frames"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What a link does to frames.

    Attributes:
        loss: the share of the frames that vanish, each way, 0 to 1.
        delay_s: how much later the others come, each way.
    """

    loss: float = 0.2
    delay_s: float = 0.25


def worsen(layout: Layout, machine: MachineName, plane: Plane, quality: Quality) -> None:
    """Make the link between a machine and a plane poor, until `mend`. Idempotent.

    Raises:
        LabError: it did not begin to carry frames.
    """
    mend(layout, machine, plane)
    port, (near, far) = port_name(machine, plane), _ends(machine, plane)
    link = ["ip", "-n", layout.switch, "link"]
    run([*link, "add", near, "type", "veth", "peer", "name", far])
    run([*link, "set", "dev", near, "up"])
    run([*link, "set", "dev", far, "master", f"br-{plane}", "up"])
    run([*link, "set", "dev", port, "nomaster"])
    log = layout.folder / "links.log"
    log.unlink(missing_ok=True)
    process = start_recorded(
        [
            *in_switch(layout, ["env", f"PYTHONPATH={PROJECT}", sys.executable]),
            *("-m", "lab.poor_link", port, near),
            *("--loss", str(quality.loss), "--delay-s", str(quality.delay_s)),
        ],
        record=layout.processes / f"{machine}-{plane}-link",
        log=log,
    )
    wait_until(
        lambda: not process.alive() or _CARRIES in log.read_text(), f"{port} to be carried", 10.0
    )
    if not process.alive():
        raise LabError(f"the link of {port} ended: {log.read_text()[-500:]}")


def mend(layout: Layout, machine: MachineName, plane: Plane) -> None:
    """Plug a machine into its plane again as it was. Idempotent."""
    record = layout.processes / f"{machine}-{plane}-link"
    process = read_record(record)
    if process is None:
        return
    kill_session(process)
    link = ["ip", "-n", layout.switch, "link"]
    run([*link, "delete", _ends(machine, plane)[0]])
    if network.has_link(layout.switch, port_name(machine, plane)):
        run([*link, "set", "dev", port_name(machine, plane), "master", f"br-{plane}"])
    record.unlink()


def _ends(machine: MachineName, plane: Plane) -> tuple[str, str]:
    """The link that takes the port's place: the program's end, and the bridge's."""
    return f"{machine}-{plane}-a"[:15], f"{machine}-{plane}-b"[:15]


class _Direction:
    """Carries frames from one interface to another, in their order."""

    def __init__(self, source: socket.socket, target: socket.socket, quality: Quality) -> None:
        self._source = source
        self._target = target
        self._quality = quality
        self._chance = random.Random(source.getsockname()[0])
        self._waiting: collections.deque[bytes] = collections.deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(source, self._receive)

    def _receive(self) -> None:
        frame = self._source.recv(_FRAME_MAX)
        if self._chance.random() >= self._quality.loss:
            self._waiting.append(frame)
            self._loop.call_later(self._quality.delay_s, self._send)

    def _send(self) -> None:
        try:
            self._target.send(self._waiting.popleft())
        except (BlockingIOError, InterruptedError):
            return  # a full queue loses frames, as a switch does


def _opened(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    opened.settimeout(0)
    # With each frame comes what the sending kernel left to hardware: checksum, segmentation.
    opened.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    opened.bind((interface, 0))
    return opened


async def _carry(port: str, near: str, quality: Quality) -> None:
    outside, inside = _opened(port), _opened(near)
    directions = [
        _Direction(outside, inside, quality),
        _Direction(inside, outside, quality),
    ]
    print(f"{_CARRIES} between {port} and {near}: {quality}", flush=True)
    await asyncio.Event().wait()
    del directions


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port")
    parser.add_argument("near")
    parser.add_argument("--loss", type=float, required=True)
    parser.add_argument("--delay-s", type=float, required=True)
    given = parser.parse_args()
    asyncio.run(_carry(given.port, given.near, Quality(loss=given.loss, delay_s=given.delay_s)))
