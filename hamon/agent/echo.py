"""Answers on every plane which boot of which host is alive: what the controllers' probes ask.

One line and the connection is closed: ``hamon-echo 1 <host> <boot id>``. Nothing is read, so that
whoever connects can make it do nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from hamon.agent.events import EventLog
from hamon.model.names import BootId, HostName
from hamon.ports.clock import Clock

CONNECTIONS_MAX = 64
CLOSE_WITHIN_S = 2.0
RETRY_S = 1.0


class EchoServer:
    """Listens on each address; one that does not exist yet is tried again and again.

    Args:
        addresses: address by plane.
        port: TCP port on each of them.
        host: who answers.
        boot_id: in which life.
        clock: for the pauses.
        log: told of planes that cannot be served.
    """

    def __init__(
        self,
        *,
        addresses: Mapping[str, str],
        port: int,
        host: HostName,
        boot_id: BootId,
        clock: Clock,
        log: EventLog,
    ) -> None:
        self._addresses = addresses
        self._port = port
        self._line = f"hamon-echo 1 {host} {boot_id}\n".encode()
        self._clock = clock
        self._log = log
        self._open = 0

    async def run(self) -> None:
        """Serve every plane until cancelled."""
        async with asyncio.TaskGroup() as planes:
            for plane, address in self._addresses.items():
                planes.create_task(self._serve(plane, address))

    async def _serve(self, plane: str, address: str) -> None:
        told = ""
        while True:
            try:
                server = await asyncio.start_server(self._answer, address, self._port, backlog=64)
            except OSError as error:
                # At boot the network may come later than this process.
                if told != str(error):
                    told = str(error)
                    self._log.warning("echo_not_served", plane=plane, why=told)
                await self._clock.sleep(RETRY_S)
                continue
            self._log.info("echo_served", plane=plane, address=address, port=self._port)
            async with server:
                await server.serve_forever()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._open += 1
        try:
            writer.write(self._line)
            writer.close()
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await writer.wait_closed()
        except (OSError, TimeoutError):
            with contextlib.suppress(OSError):
                writer.transport.abort()
        finally:
            self._open -= 1
