"""The desk: answers the command line's questions and passes its requests on to the leader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from hamon.engine.answers import Answer, Answers
from hamon.engine.asked import request_asked
from hamon.engine.cloud_desk import CloudDesk
from hamon.engine.fence_desk import FenceDesk
from hamon.engine.loop import Round
from hamon.engine.ports import Cluster
from hamon.errors import RequestRefusedError, StoreError
from hamon.model.control import Request, RequestState
from hamon.model.names import CLUSTER
from hamon.model.policy import Policy
from hamon.ports.clock import Clock

_log = structlog.get_logger()

ANSWER_WITHIN_S = 30.0
"""How long the leader may take to answer: longer than a take-over, shorter than a request lives."""

POLL_S = 0.05


class Desk:
    """Serves one daemon's command line.

    Args:
        last: returns the last finished round.
        cluster: where requests are written.
        policy: what rounds are decided by.
        clock: time.
        cloud: answers what Nova knows, None: there is no Nova.
        fence: answers about fence devices, None: this daemon has none.
    """

    def __init__(
        self,
        last: Callable[[], Round | None],
        cluster: Cluster,
        policy: Policy,
        clock: Clock,
        cloud: CloudDesk | None = None,
        fence: FenceDesk | None = None,
    ) -> None:
        self._last = last
        self._cluster = cluster
        self._policy = policy
        self._clock = clock
        self._cloud = cloud
        self._fence = fence

    async def handle(self, verb: str, arguments: dict[str, Any], who: str) -> Answer:
        """Answer one question.

        Raises:
            RequestRefusedError: it is refused; says why and what to do.
        """
        text = {key: str(value) for key, value in arguments.items() if value is not None}
        if verb == "request":
            return await self._request(text, who)
        answers = Answers(self._last(), self._policy, self._clock.now_s())
        if self._cloud is not None:
            from_nova = await self._from_nova(self._cloud, answers, verb, text)
            if from_nova is not None:
                return from_nova
        if self._fence is not None and verb.startswith("fence_"):
            return await self._of_fencing(self._fence, answers, verb, text.get("host", ""))
        return _from_view(answers, verb, text)

    async def _of_fencing(self, fence: FenceDesk, answers: Answers, verb: str, host: str) -> Answer:
        match verb:
            case "fence_check":
                return await fence.check(host, answers.view)
            case "fence_status":
                return fence.status(host, answers.view, self._clock.now_s())
            case _:
                raise RequestRefusedError(f"this daemon does not know the verb {verb!r}")

    async def _from_nova(
        self, cloud: CloudDesk, answers: Answers, verb: str, text: dict[str, str]
    ) -> Answer | None:
        """Answer what depends on what Nova says of guests; None: it does not."""
        match verb:
            case "guest":
                return await cloud.guest(text.get("guest", ""), answers.view)
            case "host":
                shown = answers.host(text.get("host", ""))
                return {**shown, **await cloud.guests_of(shown["host"], answers.view)}
            case "explain":
                told = answers.explain(text.get("host", ""))
                if told.get("would_evacuate") is None:
                    return told
                return {**told, **await cloud.would_evacuate(told["host"], answers.view)}
            case "rehearsal":
                known = answers.host(text.get("host", ""))
                return await cloud.rehearsal(known["host"], text.get("target"), answers.view)
            case _:
                return None

    async def _request(self, text: dict[str, str], who: str) -> Answer:
        """Write a request and wait for the leader's answer; both are audited, whatever comes."""
        request = request_asked(text, who)
        audit = _log.bind(
            who=who,
            kind=request.kind,
            subject=request.guest or request.host or CLUSTER,
            why=request.reason,
            nonce=request.nonce,
        )
        audit.info("audit_asked", target=request.target, boot_id=request.boot_id)
        try:
            answer = await self._carried(request, text)
        except RequestRefusedError as error:
            audit.info("audit_answered", outcome="refused", answer=error.why)
            raise
        outcome = "unknown" if answer.get("unknown") else "accepted"
        audit.info("audit_answered", outcome=outcome, answer=answer["answer"])
        return answer

    async def _carried(self, request: Request, text: dict[str, str]) -> Answer:
        if request.needs_password:
            self._keep_password(request, text["password"])
        try:
            sequence = await self._cluster.ask(request)
        except StoreError as error:
            raise RequestRefusedError(
                f"the request could not be written to ZooKeeper: {error.why}",
                "nothing is known to have happened; look with `hamon status` before repeating it",
            ) from error
        try:
            return await self._answered(sequence, request)
        finally:
            await self._cluster.withdraw(sequence)

    def _keep_password(self, request: Request, password: str) -> None:
        """Take a password where it is going to be used: it goes to no other controller.

        Raises:
            RequestRefusedError: this controller does not lead, or there is no Nova.
        """
        last = self._last()
        if self._cloud is None or request.guest is None:
            raise RequestRefusedError("a password can only be given to a guest of Nova's")
        if last is None or not last.is_leading:
            raise RequestRefusedError(
                "a password is only told to the leader itself, and this controller stands by",
                "`hamon status` on each controller says which one leads; ask there",
            )
        self._cloud.keep_password(request.guest, password, self._clock.now_s())

    async def _answered(self, sequence: str, request: Request) -> Answer:
        until_s = self._clock.now_s() + ANSWER_WITHIN_S
        while self._clock.now_s() < until_s:
            picture = self._cluster.picture()
            seen = picture.requests.get(sequence) if picture is not None else None
            if seen is not None and seen.value.state is not RequestState.PENDING:
                if seen.value.state is RequestState.REFUSED:
                    raise RequestRefusedError(seen.value.answer, seen.value.advice)
                return {
                    "answer": seen.value.answer,
                    "incident": seen.value.incident,
                    "nonce": request.nonce,
                }
            await self._clock.sleep(POLL_S)
        return {"answer": "", "incident": None, "nonce": request.nonce, "unknown": True}


def _from_view(answers: Answers, verb: str, text: dict[str, str]) -> Answer:
    """Answer what the last round's view tells.

    Raises:
        RequestRefusedError: it is refused; says why and what to do.
    """
    host, incident = text.get("host", ""), text.get("incident", "")
    match verb:
        case "status":
            return answers.status()
        case "hosts":
            return answers.hosts()
        case "host":
            return answers.host(host)
        case "explain":
            return answers.explain(host)
        case "incident":
            return answers.incident(incident)
        case "incidents":
            return answers.incidents(with_closed=text.get("with_closed") == "True")
        case "export":
            return answers.export(incident)
        case "guest":
            return answers.guest(text.get("guest", ""))
        case "target":
            return answers.target(host)
        case "rehearsal":
            return answers.rehearsal(host, text.get("target"))
        case _:
            raise RequestRefusedError(f"this daemon does not know the verb {verb!r}")
