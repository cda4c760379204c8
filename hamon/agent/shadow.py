"""Shadow mode on a compute host: no guest is held back here, and nothing is done.

Rules (docs/protocol.md 28-30):

1. Shadow mode counts only while the host has the right to live. What hamon began with a host that
   it convicted is ended as in active mode.
2. ZooKeeper says that this host is ungated before the hook lets the first guest through, and until
   the hook holds every guest back again. Whoever convicts goes by that.
3. What was said last is remembered across boots: without ZooKeeper it stays as it was.
"""

from __future__ import annotations

from hamon.agent.context import AgentContext
from hamon.agent.znodes import HostZnodes
from hamon.errors import UnreadableNodeError
from hamon.model.change import Versioned
from hamon.model.host import HostGuard, HostMode, Right
from hamon.model.policy import Mode


class ShadowMode:
    """Knows whether this host goes by shadow mode, and says so."""

    def __init__(self, context: AgentContext, znodes: HostZnodes) -> None:
        self._files = context.files
        self._log = context.log
        self._znodes = znodes
        self._told: Versioned[HostMode] | None = None
        self._is_told_shadow = False

    def resume(self) -> None:
        """Make the mark of this boot again from what is remembered, without ZooKeeper.

        safety: as long as this host is remembered to go by shadow mode, ZooKeeper says so too, and
        nobody convicts it unless an operator takes that upon himself: what may start here was not
        moved away. What was moved away before is on the list of protected guests, which lasts.
        """
        if self._files.is_shadow():
            self._files.set_shadow(is_shadow=True)

    async def read(self) -> None:
        """Read what the leader says; before the guard. Errors are those of Store.

        What cannot be read changes nothing, and keeps no grant from being read.
        """
        try:
            self._told = await self._znodes.mode()
            # An older hamon leads: it knows no shadow mode of hosts.
            self._is_told_shadow = self._told is not None and self._told.value.mode is Mode.SHADOW
        except UnreadableNodeError:
            self._told, self._is_told_shadow = None, self._files.is_shadow()

    async def begin(self, guard: Versioned[HostGuard]) -> bool:
        """Say whether shadow mode counts now; if so, whoever convicts knows on return.

        Errors are those of Store: nothing was begun then.
        """
        is_shadow = self._is_told_shadow and guard.value.right is Right.LIVE
        if is_shadow and self._told is not None and not self._told.value.is_ungated:
            self._told = await self._znodes.say_ungated(self._told, guard)
        if is_shadow is not self._files.is_shadow():
            self._log.info("mode_taken_up", mode=Mode.SHADOW if is_shadow else Mode.ACTIVE)
        if not is_shadow:
            # Before any guest is held back: the gate goes by it, and its own rules take over.
            self._files.set_shadow(is_shadow=False)
        return is_shadow

    async def end(self, *, is_shadow: bool, is_gated: bool) -> None:
        """Note what the hook does now. Errors are those of Store.

        Args:
            is_shadow: what :meth:`begin` said.
            is_gated: whether the hook is sure to hold back every guest that has no permit.
        """
        if is_shadow:
            self._files.set_shadow(is_shadow=True)
        elif is_gated and self._told is not None and self._told.value.is_ungated:
            # safety: from now on this host may be convicted: its list of protected guests is whole
            # again, and lasts across boots.
            self._told = await self._znodes.say_gated(self._told)
