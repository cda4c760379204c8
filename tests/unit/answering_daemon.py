"""A daemon for the command line's tests: the real socket and the real answers over given views."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from hamon.clock import SystemClock
from hamon.decide.holds import holds
from hamon.decide.requests import think_request
from hamon.decide.tick import decide
from hamon.engine.answers import Answers
from hamon.engine.asked import request_asked
from hamon.engine.fence_checks import FenceChecks
from hamon.engine.fence_desk import FenceDesk
from hamon.engine.local_socket import LocalSocket
from hamon.engine.loop import Round
from hamon.engine.memory import Memory
from hamon.errors import RequestRefusedError
from hamon.model.change import Decision, Update
from hamon.model.control import Request, RequestState
from hamon.model.names import HostName
from hamon.model.policy import Policy
from hamon.model.view import ClusterView
from tests.builders import NOW_S, REQUEST_VERSION, a_view, at

POLICY = Policy()
NO_CHECKS = FenceChecks({}, lambda _: "", Memory(), SystemClock(), period_s=1.0, timeout_s=1.0)
"""What is known is in the views."""
START_TIMEOUT_S = 10.0


class AnsweringDaemon:
    """Serves a control socket from a thread of its own.

    Args:
        path: of the socket.
        views: what it sees; each question about an incident brings it to the next, until the last.
        unanswered: a request is taken and never answered, as without a leader.
        is_leading: whether it leads.
        policy: what it decides by.
    """

    def __init__(
        self,
        path: Path,
        *views: ClusterView,
        unanswered: bool = False,
        is_leading: bool = True,
        policy: Policy = POLICY,
    ) -> None:
        self.path = path
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.on_question: Callable[[str], None] = lambda _verb: None
        self._views = list(views) or [a_view()]
        self._is_unanswered = unanswered
        self._is_leading = is_leading
        self._policy = policy
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(START_TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_TIMEOUT_S)
        assert not self._thread.is_alive()

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The arguments of every request that came."""
        return [arguments for verb, arguments in self.asked if verb == "request"]

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        local = LocalSocket(self.path, self._answer)
        await local.start()
        self._started.set()
        await self._stop.wait()
        await local.close()

    async def _answer(self, verb: str, arguments: dict[str, Any], _who: str) -> dict[str, Any]:
        self.on_question(verb)
        self.asked.append((verb, arguments))
        if verb == "incident" and len(self._views) > 1:
            self._views.pop(0)
        finished = round_over(self._views[0], is_leading=self._is_leading, policy=self._policy)
        answers = Answers(finished, self._policy, NOW_S)
        match verb:
            case "status":
                return answers.status()
            case "hosts":
                return answers.hosts()
            case "incidents":
                return answers.incidents(with_closed=bool(arguments.get("with_closed")))
            case "export":
                return answers.export(arguments["incident"])
            case "rehearsal":
                return answers.rehearsal(arguments["host"], arguments.get("target"))
            case "fence_status":
                fence = FenceDesk(NO_CHECKS)
                return fence.status(arguments.get("host", ""), self._views[0], NOW_S)
            case "request":
                return self._request(arguments)
            case _:
                ask: Callable[[str], dict[str, Any]] = getattr(answers, verb)
                return ask(arguments[verb if verb in arguments else "host"])

    def _request(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Let the real rules answer, as a leader with this view would."""
        if self._is_unanswered:
            return {"answer": "", "incident": None, "nonce": "n", "unknown": True}
        text = {key: str(value) for key, value in arguments.items() if value is not None}
        request = replace(request_asked(text, "ada"), nonce="n")
        view = self._views[0]
        in_force = holds(view, self._policy, NOW_S)
        asked = at(REQUEST_VERSION, request)
        thought = think_request(view, "r-1", asked, self._policy, in_force, NOW_S)
        changes = (*thought.changes, *(intent.change for intent in thought.intents))
        for operation in changes[0].operations:
            if isinstance(operation, Update) and isinstance(operation.value, Request):
                answered = operation.value
                if answered.state is RequestState.REFUSED:
                    raise RequestRefusedError(answered.answer, answered.advice)
                return {"answer": answered.answer, "incident": answered.incident, "nonce": "n"}
        raise AssertionError("the request was not answered")


def round_over(view: ClusterView, *, is_leading: bool = True, policy: Policy = POLICY) -> Round:
    """A finished round over a view; who stands by decides nothing."""
    return Round(
        view=view,
        decision=decide(view, policy, NOW_S) if is_leading else Decision(),
        is_leading=is_leading,
        lag_s=0.0,
        started_s=NOW_S,
        ended_s=NOW_S,
        written=0,
    )


def with_reason(view: ClusterView, host: HostName, reason: str) -> ClusterView:
    """The view with a reason in the leader's record of a host."""
    seen = view.hosts[host]
    record = seen.record.value
    assert record is not None
    known = replace(seen.record, value=replace(record, reason=reason))
    return replace(view, hosts={**view.hosts, host: replace(seen, record=known)})
