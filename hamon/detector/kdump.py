"""kdump: a crash kernel's notice that the host's own kernel is gone, and its guests with it.

``fence_kdump_send`` runs in the crash kernel and sends 8 bytes over UDP every few seconds: magic
and version, in the byte order of its own machine. It is listened for all the time and remembered
for a while, because a host crashes before anybody suspects it.

What it is worth:

* Nobody signs it. Whoever can send a datagram with a host's source address can say that the host
  crashed, so it is only reported here; the verdict believes it of hosts that are suspected anyway.
* It names no boot: the host reboots by itself when its memory is dumped, and the notice outlives
  that. How old it is stands in it.
* Who sent it is told by the source address alone, compared with what is configured. A name server
  would be one more party that can say who crashed, and one more that can be down.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from hamon.model.host import HostSpec
from hamon.model.names import HostName
from hamon.model.proof import Evidence, Source, Vote
from hamon.ports.clock import Clock

MAGIC = 0x1B302A40
VERSION = 1
NOTICES = frozenset(struct.pack(f"{order}II", MAGIC, VERSION) for order in "<>")
"""The message, as machines of either byte order send it."""

KEPT_S = 600.0
"""For so long a notice is told of: suspicion may come minutes later, after ZooKeeper was away."""

SERIES_GAP_S = 60.0
"""A notice comes every 10 s by default; after this long without one the next is another crash's."""

STRANGERS_MAX = 256
"""So many unknown senders are named in the log; more of them are only counted."""

_log = structlog.get_logger()


class Heard(StrEnum):
    """What a datagram was."""

    NOTICE = "notice"
    MALFORMED = "malformed"
    UNKNOWN_SENDER = "unknown_sender"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """Notices of one address without a gap."""

    first_s: float
    newest_s: float
    count: int


class KdumpListener:
    """Remembers the newest series of notices of each address (implements ``engine.ports.Witness``).

    What it remembers is bounded by the configured addresses, however much arrives.

    Args:
        clock: the only time there is.
        senders: which host an address belongs to; see :func:`senders_of`.
        observer: this controller, named in the evidence.
        on_change: called with the host at the first notice of a series; on the event loop, must not
            block.
        on_datagram: told of every datagram.
    """

    def __init__(
        self,
        clock: Clock,
        senders: Mapping[str, HostName],
        *,
        observer: str,
        on_change: Callable[[HostName], None],
        on_datagram: Callable[[Heard], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._senders = senders
        self._observer = observer
        self._on_change = on_change
        self._on_datagram = on_datagram
        self._series: dict[HostName, dict[str, _Series]] = {}
        self._strangers: set[str] = set()

    def hear(self, datagram: bytes, source: str) -> None:
        """Take one datagram, whatever is in it; never raises.

        Args:
            datagram: its content.
            source: the address it came from, as the socket tells it.
        """
        if datagram not in NOTICES:
            self._on_datagram(Heard.MALFORMED)
            return
        address = _plain(source)
        host = self._senders.get(address)
        if host is None:
            self._on_datagram(Heard.UNKNOWN_SENDER)
            self._name_stranger(address)
            return
        self._on_datagram(Heard.NOTICE)
        self._take(host, address)

    def hasten(self, hosts: frozenset[HostName]) -> None:
        """Do nothing: a crashed host is not asked, it tells."""

    def evidence(self, host: HostName) -> tuple[Evidence, ...]:
        """Return one DEAD vote for each address that told of a crash lately, sorted by address.

        ``observed_s``: when the newest notice came; ``changed_s``: the first one of its series.
        """
        now_s = self._clock.now_s()
        return tuple(
            Evidence(
                source=Source.KDUMP,
                subject=address,
                vote=Vote.DEAD,
                observed_s=series.newest_s,
                changed_s=series.first_s,
                observer=self._observer,
                detail=f"{series.count} crash notices",
            )
            for address, series in sorted(self._series.get(host, {}).items())
            if now_s - series.newest_s <= KEPT_S
        )

    def _take(self, host: HostName, address: str) -> None:
        now_s = self._clock.now_s()
        of_host = self._series.setdefault(host, {})
        series = of_host.get(address)
        if series is not None and now_s - series.newest_s <= SERIES_GAP_S:
            of_host[address] = replace(series, newest_s=now_s, count=series.count + 1)
            return
        of_host[address] = _Series(first_s=now_s, newest_s=now_s, count=1)
        _log.warning("kdump_heard", host=host, address=address)
        self._on_change(host)

    def _name_stranger(self, address: str) -> None:
        """Say once that a sender is nobody's: its host would not be known to have crashed."""
        if address not in self._strangers and len(self._strangers) < STRANGERS_MAX:
            self._strangers.add(address)
            _log.warning("kdump_unknown_sender", address=address)


class _Endpoint(asyncio.DatagramProtocol):
    """Hands datagrams over: one for each turn of the loop, so that a flood starves nobody."""

    def __init__(self, listener: KdumpListener) -> None:
        self._listener = listener

    # typing.override comes with Python 3.12.
    def datagram_received(self, data: bytes, addr: tuple[str, ...]) -> None:  # type: ignore[explicit-override]
        self._listener.hear(data, addr[0])


async def listen(listener: KdumpListener, address: str, port: int) -> asyncio.DatagramTransport:
    """Have ``listener`` hear what arrives at an own address, until the transport is closed.

    Args:
        listener: who is told.
        address: an IP address; ``::`` hears both versions of IP.
        port: UDP port; 0: any free one.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Endpoint(listener), local_addr=(address, port)
    )
    return transport


def senders_of(specs: Iterable[HostSpec]) -> Mapping[str, HostName]:
    """Return whose each address is: those of the planes, and ``kdump_addresses``."""
    return {
        address: spec.name
        for spec in specs
        for address in (*(plane.address for plane in spec.planes), *spec.kdump_addresses)
    }


def _plain(source: str) -> str:
    """Spell an address as the configuration does: no IPv4 within IPv6."""
    address = ipaddress.ip_address(source)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
