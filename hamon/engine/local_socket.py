"""The daemon's Unix socket: the command line asks here, and requests for the leader start here.

One JSON object a line each way. The kernel tells who is asking (SO_PEERCRED), so that a request
names its author truthfully. Only root and members of the socket's group can connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog

from hamon.errors import ConfigError, RequestRefusedError

_log = structlog.get_logger()

LINE_MAX = 1 << 22
"""Longest line either way, bytes: an answer about a host with thousands of guests fits."""

Handler = Callable[[str, dict[str, Any], str], Awaitable[dict[str, Any]]]
"""Called with the verb, its arguments and the asking user; returns the answer or refuses."""


class LocalSocket:
    """Serves the socket.

    Args:
        path: of the socket, at most 107 bytes; its folder exists.
        handler: answers each question.
    """

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            ConfigError: another daemon serves this socket, or the folder is not there.
        """
        if self._path.exists():
            if await _is_served(self._path):
                why = "another daemon serves this socket; stop it, or set another cluster.run_dir"
                raise ConfigError(str(self._path), "", why)
            self._path.unlink()
        before = os.umask(0o117)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, path=str(self._path), limit=LINE_MAX
            )
        except OSError as error:
            raise ConfigError(str(self._path), "", f"cannot serve the socket: {error}") from error
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Serve no more. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        who = _peer(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            while line := await reader.readline():
                answer = await self._answer(line, who)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, line: bytes, who: str) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            verb, arguments = str(asked["verb"]), dict(asked.get("arguments", {}))
        except (ValueError, KeyError, TypeError):
            return {"ok": False, "why": "not a question this daemon understands", "advice": ""}
        try:
            return {"ok": True, "answer": await self._handler(verb, arguments, who)}
        except RequestRefusedError as error:
            return {"ok": False, "why": error.why, "advice": error.advice}
        except Exception:  # noqa: BLE001
            # One question must not end the daemon; the fault is in the log with its trace.
            _log.exception("question_failed", verb=verb)
            return {"ok": False, "why": "the daemon failed to answer; see its log", "advice": ""}


async def _is_served(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True


def _peer(writer: asyncio.StreamWriter) -> str:
    """Name the user at the other end, by number when the system has no name for it."""
    sock = writer.get_extra_info("socket")
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
