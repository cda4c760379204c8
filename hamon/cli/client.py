"""The daemon's Unix socket as the command line sees it: one question, one answer.

Each question has a connection of its own, so that a daemon that was restarted in between is simply
asked again.
"""

from __future__ import annotations

import grp
import json
import socket
from pathlib import Path
from typing import Any

from hamon.cli.failure import DaemonUnreachableError, NoAnswerError
from hamon.errors import RequestRefusedError

ANSWER_WITHIN_S = 10.0
"""How long an answer may take; a daemon answers from memory."""

OUTSIDE_WITHIN_S = 60.0
"""The same where the daemon has to ask Nova first."""

_ASKS_NOVA = frozenset({"host", "guest", "rehearsal"})

REQUEST_WITHIN_S = 45.0
"""The same for a request: longer than a daemon gives the leader for it."""

_START = "start it with `systemctl start hamon`, or name another daemon's socket with --socket"


class Client:
    """Asks one daemon.

    Args:
        socket_path: the daemon's control socket.
    """

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path

    def ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Ask one question; arguments that are None are left out.

        Raises:
            DaemonUnreachableError: nobody was asked.
            NoAnswerError: asked, but the answer is lost.
            RequestRefusedError: the daemon or the leader refuses; says why and what to do.
        """
        given = {key: value for key, value in arguments.items() if value is not None}
        question = json.dumps({"verb": verb, "arguments": given}).encode() + b"\n"
        within_s = OUTSIDE_WITHIN_S if verb in _ASKS_NOVA else ANSWER_WITHIN_S
        within_s = REQUEST_WITHIN_S if verb == "request" else within_s
        answer = self._answer_to(question, within_s)
        if not answer.get("ok"):
            raise RequestRefusedError(
                str(answer.get("why", "no reason was given")), str(answer.get("advice", ""))
            )
        return dict(answer["answer"])

    def _answer_to(self, question: bytes, within_s: float) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(within_s)
            try:
                connection.connect(str(self._path))
            except OSError as error:
                raise self._unreachable(error) from error
            try:
                connection.sendall(question)
                with connection.makefile("rb") as lines:
                    line = lines.readline()
            except TimeoutError as error:
                why = f"the daemon did not answer within {within_s:.0f} s"
                raise NoAnswerError(why) from error
            except OSError as error:
                raise NoAnswerError(f"the daemon hung up: {error.strerror}") from error
        if not line.endswith(b"\n"):
            raise NoAnswerError("the daemon went away before it answered")
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise NoAnswerError("what answered does not speak as a hamon daemon does") from error

    def _unreachable(self, error: OSError) -> DaemonUnreachableError:
        match error:
            case FileNotFoundError():
                why = f"no daemon runs here: there is no socket {self._path}"
                return DaemonUnreachableError(why, _START)
            case ConnectionRefusedError():
                why = f"no daemon runs here: nobody serves the socket {self._path}"
                return DaemonUnreachableError(why, _START)
            case PermissionError():
                why = f"you may not use the socket {self._path}"
                advice = f"become root, or a member of group {_group_of(self._path)}"
                return DaemonUnreachableError(why, advice)
            case _:
                why = f"the socket {self._path} cannot be used: {error.strerror or error}"
                return DaemonUnreachableError(why, "name the daemon's socket with --socket")


def _group_of(path: Path) -> str:
    try:
        number = path.stat().st_gid
        return grp.getgrgid(number).gr_name
    except (OSError, KeyError):
        return "hamon"
