"""Sending a request to the leader through the local daemon."""

from __future__ import annotations

from typing import Any

from hamon.cli.client import Client
from hamon.cli.failure import NoAnswerError
from hamon.model.control import RequestKind


def send(client: Client, kind: RequestKind, **arguments: object) -> dict[str, Any]:
    """Ask the leader for something and return its answer.

    Raises:
        DaemonUnreachableError: nothing was asked.
        NoAnswerError: asked, and nobody knows what became of it.
        RequestRefusedError: refused; says why and what to do.
    """
    try:
        answer = client.ask("request", kind=kind, **arguments)
    except KeyboardInterrupt as error:
        raise NoAnswerError("you did not wait for the answer to the request") from error
    if answer.get("unknown"):
        raise NoAnswerError("no leader answered the request in time")
    return answer
