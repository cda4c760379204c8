"""One guest on its way to running here: checks, claim, permit, define, start, settle or give up.

Rules (docs/protocol.md 7):

1. Nothing is started without a committed claim of this boot; the permit comes after the claim.
2. RUNNING is written only after libvirt answered that the guest was started (or defined).
3. A claim is given up only when it is certain that no start of it runs or ever will. Without that
   certainty the grant stays CLAIMED and the question is asked again.
4. A guest that this host defined already is never undefined here; it is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass

from hamon.agent.context import AgentContext
from hamon.agent.domain_listing import DomainListing
from hamon.agent.inventory import Publisher
from hamon.agent.znodes import HostZnodes
from hamon.backends.libvirt.definition import (
    DefinitionError,
    DomainFacts,
    SharedStorage,
    read_definition,
)
from hamon.errors import HypervisorError, Outcome
from hamon.model.change import Versioned
from hamon.model.guest import Grant, GrantState, PowerState
from hamon.model.host import DomainState, HostGuard
from hamon.model.names import GuestId

FIND_OUT_PAUSE_S = 0.5
RETRY_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilder:
    """Carries out claims. Every method may raise StoreError: the next round looks again."""

    context: AgentContext
    listing: DomainListing
    publisher: Publisher
    znodes: HostZnodes

    async def take(
        self, guest: GuestId, grant: Versioned[Grant], guard: Versioned[HostGuard]
    ) -> None:
        """Take an offer of this boot, go on with a claim of it, or restart in place after a boot.

        Returns when the grant is settled, released, or has to be looked at again.
        """
        is_bare = not grant.value.definition and grant.value.incident is None
        is_adoption = grant.value.state is GrantState.OFFERED and is_bare
        await self._take(guest, grant, guard, is_as_it_is=is_adoption)

    async def _take(
        self,
        guest: GuestId,
        grant: Versioned[Grant],
        guard: Versioned[HostGuard],
        *,
        is_as_it_is: bool,
    ) -> None:
        is_offer = grant.value.state is GrantState.OFFERED
        refusal = await self._refusal(guest, grant.value) if is_offer else ""
        if refusal:
            # Nothing was begun: there is nothing to be uncertain about.
            await self.znodes.settle(guest, grant, GrantState.RELEASED, refusal)
            self.context.log.warning("offer_refused", guest=guest, why=refusal)
            return
        if not grant.value.definition and guest not in self.listing.current.domains:
            # It was ours before this boot, and libvirt has lost it: nothing to start.
            self.context.log.error("own_definition_missing", guest=guest)
            await self.context.clock.sleep(RETRY_PAUSE_S)
            return
        wanted = self._wanted(guest, grant.value)
        was_off = self.listing.current.is_healthy and not self.listing.current.is_active(guest)
        if grant.value.state is not GrantState.CLAIMED or not self._is_own(grant.value):
            grant = await self.znodes.claim(guest, grant, guard, self.context.boot_id)
            self.context.log.info(
                "grant_claimed", guest=guest, generation=grant.value.generation, wanted=wanted
            )
        self.context.files.remember_held(guest, grant.value.generation)
        if is_offer and not is_as_it_is:
            self.publisher.set_wanted(guest, wanted)
        try:
            self.context.permits.give(guest, grant.value.generation)
            if not is_as_it_is:
                # An adopted guest is as its operator has it: nothing is started.
                await self._build(guest, grant.value, wanted)
        except HypervisorError as error:
            self.context.log.warning("rebuild_failed", guest=guest, why=error.why)
            if grant.value.definition:
                await self._give_up(guest, grant, error.why, was_off=was_off)
            else:
                await self.context.clock.sleep(RETRY_PAUSE_S)
            return
        await self._settle(guest, grant)

    async def take_as_it_is(
        self, guest: GuestId, grant: Versioned[Grant], guard: Versioned[HostGuard]
    ) -> None:
        """Take what is defined here already, and start nothing: an operator has it as it is."""
        await self._take(guest, grant, guard, is_as_it_is=True)

    def _is_own(self, grant: Grant) -> bool:
        return grant.boot_id == self.context.boot_id

    def _wanted(self, guest: GuestId, grant: Grant) -> PowerState:
        """An offer brings the wanted state along; later this host's own record is newer."""
        if grant.state is GrantState.OFFERED or grant.definition:
            return grant.wanted
        return self.publisher.wanted(guest) or grant.wanted

    # -- before the claim -------------------------------------------------------------------------

    async def _refusal(self, guest: GuestId, grant: Grant) -> str:
        """Say why this host cannot take an offer; empty: nothing is in the way."""
        if self.context.files.leaving() is not None:
            return "host is leaving"
        try:
            if not self.listing.current.is_healthy:
                await self.listing.refresh()
            if not grant.definition:
                return "" if guest in self.listing.current.domains else "not defined here"
            facts = read_definition(grant.definition, self.context.shared)
            if facts.guest != guest:
                return f"definition is of guest {facts.guest}"
            return await self._missing(facts)
        except DefinitionError as error:
            return f"definition: {error}"
        except HypervisorError as error:
            return f"libvirt: {error.why}"

    async def _missing(self, facts: DomainFacts) -> str:
        """Name what the guest needs and this host does not have."""
        if facts.networks or facts.pools:
            capacity = await self.context.hypervisor.capacity(self.context.boot_id)
            for kind, needed, present in (
                ("network", facts.networks, capacity.networks),
                ("storage pool", facts.pools, capacity.pools),
            ):
                if missing := sorted(set(needed) - set(present)):
                    return f"{kind} {missing[0]} is not active"
        files = (*facts.disks, *facts.files)
        readable = await self.context.readable_paths(files)
        if unreadable := [path for path in files if path not in readable]:
            return f"{unreadable[0]} cannot be read"
        return ""

    # -- under the claim --------------------------------------------------------------------------

    async def _build(self, guest: GuestId, grant: Grant, wanted: PowerState) -> None:
        """Define what came with the offer, and start what is wanted running.

        Raises:
            HypervisorError: it is not as wanted.
        """
        hypervisor = self.context.hypervisor
        known = self.listing.current.domains.get(guest)
        definition = grant.definition or (known.definition if known is not None else "")
        if grant.definition and not self.listing.current.is_active(guest):
            if known is None:
                self.context.files.set_leftover(guest, is_leftover=True)
            await hypervisor.define(grant.definition)
        if wanted is PowerState.RUNNING:
            await hypervisor.start(guest)
            # The answer is libvirt's word. Its listing would wait for every other start under way.
            self.listing.note(guest, _name(definition), definition, DomainState.RUNNING)
        else:
            await self.listing.refresh()

    async def _settle(self, guest: GuestId, grant: Versioned[Grant]) -> None:
        # The leader confirms from both; written first, so that it need not wait for the next round.
        await self.publisher.publish_domains()
        await self.znodes.settle(guest, grant, GrantState.RUNNING)
        self.context.files.set_leftover(guest, is_leftover=False)
        self.context.log.info("grant_settled", guest=guest, generation=grant.value.generation)

    # -- giving up --------------------------------------------------------------------------------

    async def _give_up(
        self, guest: GuestId, grant: Versioned[Grant], why: str, *, was_off: bool
    ) -> None:
        # safety: no start of this claim passed the gate, and after the withdrawal none ever will,
        # not even one that sleeps in a stopped libvirtd. The guest was off when the claim began, so
        # it is off for good here, and may be given to another host without asking libvirt.
        is_certain = self.context.permits.withdraw(guest) and was_off
        if not is_certain and await self._find_out(guest):
            # It does run: the answer was late, not the guest.
            self.context.permits.give(guest, grant.value.generation)
            await self._settle(guest, grant)
            return
        try:
            await self.undefine_leftover(guest)
        except HypervisorError as error:
            # Only a definition is left, and it cannot start. Removed when libvirt answers again.
            self.context.log.warning("definition_left_behind", guest=guest, why=error.why)
        await self.znodes.settle(guest, grant, GrantState.RELEASED, why)
        self.context.log.info("grant_released", guest=guest, why=why)

    async def _find_out(self, guest: GuestId) -> bool:
        """Ask libvirt until it says what became of a start that passed the gate.

        Returns:
            True: the guest runs. False: it does not, and no start is under way.
        """
        last_why = ""
        while True:
            try:
                listing = await self.listing.refresh()
                domain = listing.domains.get(guest)
                if domain is not None and domain.state is DomainState.RUNNING:
                    return True
                # safety: a start holds the domain until it has ended one way or the other, and
                # `destroy` waits for that; so after its answer, and a listing without a process,
                # the passed start is over. Later ones are refused by the gate.
                await self.context.hypervisor.destroy(guest)
                if not (await self.listing.refresh()).is_active(guest):
                    return False
            except HypervisorError as error:
                if error.why != last_why:
                    self.context.log.warning("outcome_unknown", guest=guest, why=error.why)
                last_why = error.why
            await self.context.clock.sleep(FIND_OUT_PAUSE_S)

    async def undefine_leftover(self, guest: GuestId) -> None:
        """Undefine what was defined here for a rebuild that did not come about. Idempotent.

        Raises:
            HypervisorError: libvirt did not do it, or the guest runs.
        """
        if guest not in self.context.files.leftovers():
            return
        listing = await self.listing.refresh()
        if listing.is_active(guest):
            raise HypervisorError("hypervisor", "undefine", guest, Outcome.NOT_DONE, "it runs")
        await self.context.hypervisor.undefine(guest)
        await self.listing.refresh()
        self.context.files.set_leftover(guest, is_leftover=False)


def _name(definition: str) -> str:
    try:
        return read_definition(definition, SharedStorage()).name
    except DefinitionError:
        # libvirt read it, so the next listing will tell.
        return ""
