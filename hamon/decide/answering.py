"""What every answer to a request is made of. Pure."""

from __future__ import annotations

from dataclasses import replace

from hamon.model.change import Operation, Update, Versioned, request_of
from hamon.model.control import Request, RequestState
from hamon.model.names import HostName, IncidentId
from hamon.model.view import ClusterView, HostView


class RefusedError(Exception):
    """A request that is answered with a refusal: why, and what to do."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.advice = advice


def answer(sequence: str, request: Versioned[Request], answered: Request) -> Operation:
    """Build the write that answers a request."""
    return Update(key=request_of(sequence), version=request.version, value=answered)


def accepted(request: Request, said: str, incident: IncidentId | None = None) -> Request:
    """Return the request as accepted, with what is said to the operator."""
    return replace(request, state=RequestState.ACCEPTED, answer=said, incident=incident)


def known_host(view: ClusterView, name: HostName | None) -> HostView:
    """Find an enrolled host.

    Raises:
        RefusedError: there is none of that exact name.
    """
    host = view.hosts.get(name) if name is not None else None
    if host is None:
        msg = f"host {name} is not enrolled"
        raise RefusedError(msg, "`hamon host list` shows the hosts; the exact name is needed")
    return host
