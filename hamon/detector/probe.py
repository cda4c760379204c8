"""The TCP probe: does anything answer at a host's address, and is it hamon's own process?

The heartbeat process on a host greets each connection with one line and closes it:

    hamon-echo 1 HOST BOOT_ID

That is a strong sign of life: userland runs, and tells its boot. A connection without that line, or
its refusal, only shows that a kernel answers there.

Which answers are silence and which are no answer at all:

* ``EHOSTUNREACH`` is silence. It is what the own kernel says when nobody answers ARP, the ordinary
  sign of a host without power. The own cable unplugged looks the same; but then every host of the
  plane is silent, and silence counts only on a plane where somebody is heard.
* ``ENETUNREACH``, ``ENETDOWN``, ``EADDRNOTAVAIL``, ``EACCES``, ``EPERM`` and a lack of descriptors
  or memory are the own machine's trouble: the probe was not made (FAILED, no vote).
* A time-out that is noticed far too late is the own process's trouble, which was stopped or busy:
  the answer may have come meanwhile, and been given up before it was read (FAILED, too).
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from functools import lru_cache

from hamon.model.names import BootId, HostName, is_name
from hamon.ports.probe import ProbeAnswer, ProbeResult

ECHO_MAX_BYTES = 160
"""The longest greeting: 13 + a name of 63 + a boot id of 36, and some room."""

STALL_S = 0.5
"""A knock that ends so long after its time was over was not waited for all the time."""

_ECHO = re.compile(
    rb"hamon-echo 1 ([a-z0-9.-]{1,63})"
    rb" ([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\n"
)
_SILENCE = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT})
_REFUSAL = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})


class TcpProbe:
    """Knocks over TCP (implements ``ports.Probe``).

    With bare sockets: a knock is most of what an idle controller does, and asyncio's streams take
    half as long again.
    """

    async def knock(self, address: str, port: int, timeout_s: float) -> ProbeResult:
        """Connect, read the greeting, close; see ``ports.Probe``.

        Args:
            address: an IP address; a name would be looked up, which is no probe of the host.
            port: of the heartbeat process.
            timeout_s: for connecting and reading together.
        """
        loop = asyncio.get_running_loop()
        over_s = loop.time() + timeout_s
        is_connected = False
        greeting = b""
        try:
            family, place = _numeric(address, port)
            with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
                async with asyncio.timeout(timeout_s):
                    await loop.sock_connect(connection, place)
                    is_connected = True
                    greeting = await _read_line(loop, connection)
        except OSError as error:  # TimeoutError is one, whoever's patience ended
            if isinstance(error, TimeoutError) and loop.time() - over_s > STALL_S:
                return ProbeResult(answer=ProbeAnswer.FAILED, detail="own process stood still")
            if not is_connected:
                return of_error(error)
        return _of_greeting(greeting)


@lru_cache(maxsize=16384)
def _numeric(address: str, port: int) -> tuple[int, tuple[object, ...]]:
    """Return the family of an IP address, and the address as a socket takes it.

    Raises:
        OSError: it is no IP address.
    """
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    [(family, _, _, _, place), *_] = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=flags
    )
    return family, place


async def _read_line(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> bytes:
    """Read up to the end of a line, the end of what comes, or more than a greeting may have."""
    read = b""
    while not read.endswith(b"\n") and len(read) <= ECHO_MAX_BYTES:
        part = await loop.sock_recv(connection, ECHO_MAX_BYTES)
        if not part:
            break
        read += part
    return read


def _of_greeting(greeting: bytes) -> ProbeResult:
    """Judge what came over a connection that was made."""
    match = _ECHO.fullmatch(greeting)
    host = match[1].decode() if match else ""
    if match is None or not is_name(host):
        return ProbeResult(answer=ProbeAnswer.CONNECTED, detail="connected, no echo")
    return ProbeResult(
        answer=ProbeAnswer.ECHO, host=HostName(host), boot_id=BootId(match[2].decode())
    )


def of_error(error: OSError) -> ProbeResult:
    """Judge why a connection could not be made."""
    if isinstance(error, TimeoutError) or error.errno in _SILENCE:
        answer = ProbeAnswer.SILENT
    elif error.errno in _REFUSAL:
        answer = ProbeAnswer.REFUSED
    else:
        answer = ProbeAnswer.FAILED
    return ProbeResult(answer=answer, detail=error.strerror or "no answer in time")
