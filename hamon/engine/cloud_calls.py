"""Reading Nova and asking it for changes, at most one call for the same thing at a time.

Rules:

1. A request for a change starts within the lease of its intent, or is told as not done (rule 4).
2. An answer is noted and the loop woken; what it means is decided, not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import assert_never

import structlog

from hamon.engine.cloud_picture import CloudPicture
from hamon.errors import (
    CloudConflictError,
    CloudError,
    CloudMissingError,
    CloudRefusedError,
    Outcome,
)
from hamon.model.action import (
    CloudAction,
    CloudLook,
    CloudLookKind,
    DisableService,
    EnableService,
    Evacuate,
    LiftForceDown,
    ResetTask,
    RunBeforeGate,
    SetPower,
    ShutOutService,
)
from hamon.model.cloud import CallState, CloudCall, Image, Progress, Server
from hamon.model.guest import PowerState
from hamon.model.names import GuestId
from hamon.ports.clock import Clock
from hamon.ports.cloud import BeforeGate, Cloud

_log = structlog.get_logger()

LOOK_PAUSE_S = 1.0
"""After a reading that failed, the same is not read again for this long."""

Called = Callable[[str, str, float], None]
"""Told of each call that ended: operation, outcome, seconds it took."""


class CloudCalls:
    """The calls of one controller to one Nova.

    Args:
        cloud: Nova.
        picture: where answers are noted.
        clock: time.
        wake: makes the loop come round.
        on_call: told of each call that ended, for metrics.
        before_gate: the operator's program, None: there is none.
    """

    def __init__(
        self,
        cloud: Cloud,
        picture: CloudPicture,
        clock: Clock,
        wake: Callable[[], None],
        *,
        on_call: Called,
        before_gate: BeforeGate | None = None,
    ) -> None:
        self._cloud = cloud
        self._picture = picture
        self._clock = clock
        self._wake = wake
        self._on_call = on_call
        self._before_gate = before_gate
        self._reading: set[CloudLook] = set()
        self._rest_until_s: dict[CloudLook, float] = {}
        self._is_unreachable = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def cloud(self) -> Cloud:
        """The Nova itself, for readings that nothing is decided on."""
        return self._cloud

    @property
    def picture(self) -> CloudPicture:
        """What was read so far."""
        return self._picture

    # -- reading ----------------------------------------------------------------------------------

    def start_look(self, look: CloudLook) -> None:
        """Begin a reading, unless the same is under way or has just failed."""
        now_s = self._clock.now_s()
        if look in self._reading or now_s < self._rest_until_s.get(look, now_s):
            return
        self._reading.add(look)
        self._spawn(self._look(look, now_s))

    async def _look(self, look: CloudLook, asked_s: float) -> None:
        outcome = "ok"
        try:
            await self._read(look, asked_s)
            self._picture.took(look.kind, self._clock.now_s() - asked_s)
            self._rest_until_s.pop(look, None)
            if self._is_unreachable:
                self._is_unreachable = False
                _log.info("cloud_reached")
        except CloudError as error:
            outcome = "failed"
            if look.kind is CloudLookKind.IMAGE:
                self._picture.saw_image(look.image, None, asked_s)
            self._rest_until_s[look] = self._clock.now_s() + LOOK_PAUSE_S
            if not self._is_unreachable:
                self._is_unreachable = True
                _log.warning("cloud_not_read", what=look.kind, why=error.why)
        finally:
            self._reading.discard(look)
            self._on_call(look.kind, outcome, self._clock.now_s() - asked_s)
            self._wake()

    async def _read(self, look: CloudLook, asked_s: float) -> None:
        kind, host = look.kind, look.service_host
        since = self._picture.clock.asks(look)
        match kind:
            case CloudLookKind.SERVICES:
                self._picture.saw_services(await self._cloud.services(), asked_s)
            case CloudLookKind.SERVERS_OF:
                servers = await self._cloud.servers(host=host)
                self._picture.saw_servers_of(host, servers, asked_s)
            case CloudLookKind.SERVER:
                assert look.guest is not None, "which server"
                self._picture.saw_server(look.guest, await self._found(look.guest), asked_s)
            case CloudLookKind.MIGRATIONS_OF:
                migrations = await self._cloud.migrations(host=host)
                came_s = self._clock.now_s()
                self._picture.saw_migrations(migrations, asked_s, came_s=came_s, host=host)
            case CloudLookKind.SERVERS_CHANGED if since is not None:
                servers = await self._cloud.servers(since=since)
                self._picture.saw_servers_changed(servers, asked_s)
            case CloudLookKind.SERVERS_TOUCHED if since is not None:
                self._picture.saw_touched(await self._cloud.touched(since), asked_s)
            case CloudLookKind.MIGRATIONS_CHANGED if since is not None:
                migrations = await self._cloud.migrations(since=since)
                came_s = self._clock.now_s()
                self._picture.saw_migrations(migrations, asked_s, came_s=came_s)
            case CloudLookKind.GROUPS:
                self._picture.saw_groups(await self._cloud.groups(), asked_s)
            case CloudLookKind.IMAGE:
                self._picture.saw_image(look.image, await self._image(look.image), asked_s)
            case CloudLookKind.AGGREGATES:
                self._picture.saw_aggregates(await self._cloud.aggregates(), asked_s)
            case CloudLookKind.PROGRESS:
                assert look.guest is not None, "which server"
                progress = await self._progress(look.guest)
                self._picture.saw_progress(look.guest, progress, asked_s)
            case CloudLookKind.TOKEN:
                await self._cloud.renew_token()
                self._picture.renewed_token(asked_s)
            case (
                CloudLookKind.SERVERS_CHANGED
                | CloudLookKind.SERVERS_TOUCHED
                | CloudLookKind.MIGRATIONS_CHANGED
            ):
                pass
            case _:
                assert_never(kind)

    async def _found(self, guest: GuestId) -> Server | None:
        try:
            return await self._cloud.server(guest)
        except CloudMissingError:
            return None

    async def _image(self, image: str) -> Image:
        try:
            return await self._cloud.image(image)
        except CloudMissingError:
            # It was deleted, as Nova's users may: nothing is said of it any more.
            return Image(id=image)

    async def _progress(self, guest: GuestId) -> Progress:
        try:
            return await self._cloud.progress(guest)
        except CloudMissingError:
            return Progress()

    # -- changing ---------------------------------------------------------------------------------

    def start_action(self, action: CloudAction, *, start_by_s: float) -> None:
        """Begin a request whose intent is durable; it must start by ``start_by_s``."""
        subject = subject_of(action)
        call = CloudCall(
            state=CallState.RUNNING, at_s=self._clock.now_s(), attempt=_attempt_of(action)
        )
        self._picture.called(subject, call)
        self._spawn(self._act(action, subject, call, start_by_s))

    async def _act(
        self, action: CloudAction, subject: str, call: CloudCall, start_by_s: float
    ) -> None:
        ended = replace(call, state=CallState.UNKNOWN, why="interrupted")
        try:
            request_id = await self._request(action, start_by_s)
            ended = replace(call, state=CallState.DONE, request_id=request_id)
        except CloudRefusedError as error:
            ended = replace(
                call,
                state=CallState.REFUSED,
                why=error.why,
                is_conflict=isinstance(error, CloudConflictError),
                is_missing=isinstance(error, CloudMissingError),
            )
        except CloudError as error:
            is_known = error.outcome is Outcome.NOT_DONE
            state = CallState.NOT_DONE if is_known else CallState.UNKNOWN
            ended = replace(call, state=state, why=error.why)
        finally:
            now_s = self._clock.now_s()
            self._picture.called(subject, replace(ended, at_s=now_s))
            operation = type(action).__name__
            self._on_call(operation, ended.state, now_s - call.at_s)
            _log.info(
                "cloud_call_ended",
                operation=operation,
                subject=subject,
                outcome=ended.state,
                why=ended.why,
                request_id=ended.request_id,
            )
            self._wake()

    async def _request(self, action: CloudAction, start_by_s: float) -> str:
        """Make the request; return Nova's id of it, "" where that is not of interest."""
        cloud = self._cloud
        match action:
            case Evacuate(guest=guest):
                return await cloud.evacuate(
                    guest,
                    start_by_s=start_by_s,
                    target=action.target,
                    force=action.force,
                    password=self._picture.passwords.of(guest),
                )
            case ShutOutService():
                await cloud.shut_out(action.service_id, action.reason, start_by_s=start_by_s)
                self._changed(action.service_host, is_down=True, is_disabled=bool(action.reason))
            case LiftForceDown():
                await cloud.lift_force_down(action.service_id, start_by_s=start_by_s)
                self._changed(action.service_host, is_down=False, is_disabled=None)
            case DisableService():
                await cloud.disable(action.service_id, action.reason, start_by_s=start_by_s)
                self._changed(action.service_host, is_down=None, is_disabled=True)
            case EnableService():
                await cloud.enable(action.service_id, start_by_s=start_by_s)
                self._changed(action.service_host, is_down=None, is_disabled=False)
            case RunBeforeGate():
                assert self._before_gate is not None, "a program is configured"
                await self._before_gate.run(action.service_host)
            case SetPower(guest=guest):
                if action.wanted is PowerState.SHUTOFF:
                    await cloud.stop(guest, start_by_s=start_by_s)
                elif action.in_place:
                    await cloud.reboot(guest, start_by_s=start_by_s)
                else:
                    await cloud.start(guest, start_by_s=start_by_s)
            case ResetTask(guest=guest):
                await cloud.reset_task(guest, is_error=action.is_error, start_by_s=start_by_s)
            case _:
                assert_never(action)
        return ""

    def _changed(self, host: str, *, is_down: bool | None, is_disabled: bool | None) -> None:
        """Note what a service became by a change that Nova confirmed."""
        service = self._picture.view().services.get(host)
        if service is None:
            return
        if is_down is not None:
            service = replace(
                service, is_forced_down=is_down, is_up=False if is_down else service.is_up
            )
        if is_disabled is not None:
            kept = service.disabled_reason if is_disabled else ""
            service = replace(service, is_enabled=not is_disabled, disabled_reason=kept)
        self._picture.changed_service(service, self._clock.now_s())

    # -- tasks ------------------------------------------------------------------------------------

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("action_failed", exc_info=task.exception())

    async def close(self) -> None:
        """Wait for no call any more; what was sent may still be carried out."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def subject_of(action: CloudAction) -> str:
    """Return what a call is about: a guest, or a service host."""
    match action:
        case Evacuate() | SetPower():
            return action.guest
        case RunBeforeGate() | ResetTask():
            return action.subject
        case _:
            return action.service_host


def _attempt_of(action: CloudAction) -> int:
    return action.attempt if isinstance(action, Evacuate) else 0
