"""A host's permits and the agent's own files in memory; permits pass the same contract tests."""

from __future__ import annotations

from hamon.agent.gate_files import Enforced, GateOverride
from hamon.model.host import Leaving
from hamon.model.names import GuestId


class InMemoryPermits:
    """The gate: permits live as long as the boot, protection outlives it."""

    def __init__(self) -> None:
        self._protected: frozenset[GuestId] = frozenset()
        self._permits: dict[GuestId, int] = {}
        self._passed: set[GuestId] = set()
        self._refused: frozenset[GuestId] = frozenset()

    def protect(self, guests: frozenset[GuestId]) -> None:
        """Write down, durably across boots, which guests are protected. Idempotent."""
        self._protected = guests

    def protected(self) -> frozenset[GuestId]:
        """Tell which guests are protected."""
        return self._protected

    def give(self, guest: GuestId, generation: int) -> None:
        """Allow starts of the guest in this boot and forget earlier passages. Idempotent."""
        if self._permits.get(guest) != generation:
            self._permits[guest] = generation
            self._passed.discard(guest)

    def withdraw(self, guest: GuestId) -> bool:
        """Allow no more starts of the guest; say whether none has passed."""
        self._permits.pop(guest, None)
        return guest not in self._passed

    def held(self) -> frozenset[GuestId]:
        """Tell which guests have a permit now."""
        return frozenset(self._permits)

    def take_refused(self) -> frozenset[GuestId]:
        """Tell the guests a start of which was refused, and forget it."""
        refused, self._refused = self._refused, frozenset()
        return refused

    def admit(self, guest: GuestId) -> bool:
        """Be the hook: say whether a start may go on, and note the passage."""
        if guest not in self._protected:
            return True
        if guest not in self._permits:
            self._refused |= {guest}
            return False
        self._passed.add(guest)
        return True

    def reboot(self) -> None:
        """Lose what lies on tmpfs."""
        self._permits.clear()
        self._passed.clear()
        self._refused = frozenset()


class InMemoryHostFiles:
    """:class:`hamon.agent.host_files.HostFiles` without a disk."""

    def __init__(self) -> None:
        self.announced: Leaving | None = None
        self.is_in_service = False
        self.may_permits_come = False
        self._seen: dict[GuestId, int] = {}
        self._held: dict[GuestId, int] = {}
        self._leftovers: frozenset[GuestId] = frozenset()
        self.to_forget: frozenset[GuestId] = frozenset()
        self.overridden: GateOverride | None = None
        self._nova_guests: frozenset[GuestId] = frozenset()
        self._denied: frozenset[GuestId] = frozenset()
        self._is_given_up = False
        self._is_shadow = False
        self._is_marked_shadow = False
        self._enforced: Enforced | None = None

    def leaving(self) -> Leaving | None:
        """Tell whether this host has announced that it goes, and why."""
        return self.announced

    def set_in_service(self, *, is_in_service: bool) -> None:
        """Say whether live migrations may arrive in this boot. Idempotent."""
        self.is_in_service = is_in_service

    def set_permits_may_come(self, *, may_come: bool) -> None:
        """Say whether the hook is to wait a little for a permit that is missing. Idempotent."""
        self.may_permits_come = may_come

    def is_shadow(self) -> bool:
        """Tell whether this host went by shadow mode when it was last told, in any boot."""
        return self._is_shadow

    def set_shadow(self, *, is_shadow: bool) -> None:
        """Write down whether it does. Idempotent."""
        self._is_shadow = self._is_marked_shadow = is_shadow

    def is_marked_shadow(self) -> bool:
        """Say whether the guests process of this boot has said that shadow mode counts here."""
        return self._is_marked_shadow

    def generation_seen(self, guest: GuestId) -> int:
        """Tell the highest generation of a guest that ZooKeeper ever showed here; 0: none."""
        return self._seen.get(guest, 0)

    def generation_held(self, guest: GuestId) -> int:
        """Tell the generation under which this host last had the guest; 0: not known."""
        return self._held.get(guest, 0)

    def remember_seen(self, guest: GuestId, generation: int) -> None:
        """Write down a generation that ZooKeeper showed. Idempotent; never goes down."""
        self._seen[guest] = max(generation, self.generation_seen(guest))

    def remember_held(self, guest: GuestId, generation: int) -> None:
        """Write down that this host has the guest under ``generation``. Idempotent."""
        self._held[guest] = generation

    def leftovers(self) -> frozenset[GuestId]:
        """Tell which definitions were made here for a rebuild that is not settled."""
        return self._leftovers

    def set_leftover(self, guest: GuestId, *, is_leftover: bool) -> None:
        """Write down that a definition was made for a rebuild, or that it is settled."""
        self._leftovers = self._leftovers | {guest} if is_leftover else self._leftovers - {guest}

    def forgotten(self) -> frozenset[GuestId]:
        """Tell which guests an operator of this host wants forgotten."""
        return self.to_forget

    def answer_forgotten(self, guest: GuestId) -> None:
        """Note that a guest was forgotten, or will not be. Idempotent."""
        self.to_forget -= {guest}

    def nova_guests(self) -> frozenset[GuestId]:
        """Tell which guests of this host were Nova's when libvirt last told."""
        return self._nova_guests

    def set_nova_guests(self, guests: frozenset[GuestId]) -> None:
        """Write down which guests are Nova's."""
        self._nova_guests = guests

    def denied(self) -> frozenset[GuestId]:
        """Tell which guests of Nova's were denied here when ZooKeeper last told."""
        return self._denied

    def set_denied(self, guests: frozenset[GuestId]) -> None:
        """Write down which guests are denied."""
        self._denied = guests

    def note_given_up(self) -> None:
        """Write down that this very boot was shut out. Idempotent."""
        self._is_given_up = True

    def is_given_up(self) -> bool:
        """Say whether this very boot is known to have been shut out."""
        return self._is_given_up

    def note_enforced(self, guard_version: int, now_s: float) -> None:
        """Tell the gate that the hook obeys grants read after this version of the guard."""
        self._enforced = Enforced(guard_version=guard_version, at_s=now_s)

    def enforced(self) -> Enforced | None:
        """Tell how far the guests process of this boot has come; None: it has said nothing."""
        return self._enforced

    def override(self) -> GateOverride | None:
        """Tell who opened the gate of this boot by hand; None: nobody."""
        return self.overridden

    def reboot(self) -> None:
        """Lose what lies on tmpfs."""
        self._is_marked_shadow = False
        self.overridden = None
        self._enforced = None
        self._is_given_up = False
        self.to_forget = frozenset()
        self.announced = None
        self.is_in_service = False
        self.may_permits_come = False
