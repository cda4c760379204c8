"""The rule behind a reason, in a sentence, and the configuration values that it rests on.

Beside ``wording``, which says what is so; this says why that matters, and which key of hamon.toml
would have to be another one. The values themselves come from the daemon that answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hamon.model.control import HoldKind


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in a sentence, and the keys of hamon.toml that it rests on."""

    text: str
    keys: tuple[str, ...] = ()


_LATE = ("detection.late_after_s", "detection.fresh_s")
_OFF = ("detection.off_gap_s", *_LATE)
_MANY = "many hosts lost at once are more likely one fault elsewhere"
_STORM = (
    "holds.storm_hosts_max",
    "holds.storm_share_max",
    "holds.storm_window_s",
    "holds.storm_cooldown_s",
    "holds.domain_labels",
    "holds.domain_hosts_max",
    "holds.domain_share_max",
)
_SHOT = ("fencing.shot_deadline_s", "fencing.confirm_timeout_s", "detection.off_gap_s")
_UNSHOT = ("fencing.off_without_shot", "fencing.kdump_is_proof")
_ROOM = (
    "evacuation.cpu_allocation_ratio",
    "evacuation.ram_allocation_ratio",
    "evacuation.reserved_ram_mib",
    "evacuation.in_flight_per_destination_max",
    "evacuation.retry_after_s",
    "evacuation.retry_after_max_s",
)
_SLOTS = ("evacuation.in_flight_max", "evacuation.in_flight_start")

_LIFE = "any fresh sign of life holds a conviction back, whoever sees it"
_QUARANTINE = "each return in a row is waited on twice as long as the one before"
_LIVES_IN_PART = "a host that lives in part is fenced only if its policy says so"
_HELD = "while this holds nothing new is done"

_QUARANTINE_KEYS = ("recovery.quarantine_s", "recovery.quarantine_max_s")
_HUNG = ("detection.hung", "detection.hung_after_s")
_PARTITIONED = ("detection.partitioned", "detection.partitioned_wait_s")
_DEGRADED = ("detection.degraded", "detection.degraded_wait_s")
_LEAVING = ("detection.leaving", "detection.leaving_wait_s")

RULES: Mapping[str, Rule] = {
    # The verdict.
    "heartbeat_late": Rule("while the session lives, only power read Off twice convicts", _OFF),
    "probes_undecided": Rule(
        "silence counts when every probe is fresh and silent, and one for long enough", _LATE
    ),
    "plane_not_heard": Rule(
        "silence must be heard on every plane, on each for long enough",
        ("detection.fresh_s", *_LATE),
    ),
    "own_plane_suspect": Rule(
        "who hears nobody on a plane is cut off there, and its silence counts for nothing",
        ("detection.controllers_agree",),
    ),
    "too_few_views": Rule(
        "without power read Off, several controllers must hear the silence",
        ("detection.controllers_agree",),
    ),
    "heard_by_another": Rule(_LIFE),
    "alive_by_session": Rule(_LIFE),
    "alive_by_service": Rule(_LIFE),
    "alive_by_echo": Rule(_LIFE, ("detection.fresh_s",)),
    "alive_on_storage": Rule(_LIFE, ("detection.fresh_s", *_PARTITIONED)),
    "alive_by_kernel": Rule(
        "a kernel that answers may still run guests; after long enough the host is called hung",
        ("detection.fresh_s", *_HUNG),
    ),
    "kernel_answers_only": Rule(_LIVES_IN_PART, _HUNG),
    "host_hung": Rule(_LIVES_IN_PART, _HUNG),
    "host_partitioned": Rule(_LIVES_IN_PART, _PARTITIONED),
    "checks_failed": Rule(_LIVES_IN_PART, _DEGRADED),
    "host_degraded": Rule(_LIVES_IN_PART, _DEGRADED),
    "crash_notice": Rule(
        "a crash kernel's notice counts once the session is gone",
        ("zookeeper.session_timeout_s",),
    ),
    "power_off_and_late": Rule("power read Off twice, since the host fell silent, is death", _OFF),
    "power_off_and_silent": Rule("power read Off twice, since it fell silent, is death", _OFF),
    "silent_on_every_plane": Rule(
        "without a session, silence on every plane is death if enough controllers hear it",
        ("detection.controllers_agree", *_LATE),
    ),
    "host_left": Rule("a host that said that it goes is not dead", _LEAVING),
    "host_leaving": Rule("a host that said that it goes is not dead", _LEAVING),
    "leaving_overdue": Rule("a host that said that it goes is not dead", _LEAVING),
    "quarantined": Rule(_QUARANTINE, _QUARANTINE_KEYS),
    "quarantine_over": Rule(_QUARANTINE, _QUARANTINE_KEYS),
    "returns_forgotten": Rule(
        "a host that has stayed up starts from zero", ("recovery.forget_after_s",)
    ),
    "incident_forgotten": Rule(
        "the newest closed incidents are kept", ("recovery.incidents_kept",)
    ),
    # Fencing.
    "host_convicted": Rule("a host loses its right to live before anything is done to it"),
    "would_be_convicted": Rule("a host loses its right to live before anything is done to it"),
    "new_leader_waits": Rule(
        "what a former leader sent may act until its lease is over", ("fencing.lease_s",)
    ),
    "fencing": Rule(
        "every device of a level must read Off twice after its order", (*_SHOT, *_UNSHOT)
    ),
    "fence_shot": Rule(
        "an order starts within the lease of its journal entry, or not at all",
        ("fencing.lease_s", "fencing.shot_deadline_s"),
    ),
    "powered_on_by_hand": Rule(
        "power comes back only by command, and never while a proof is made or needed",
        ("fencing.shot_deadline_s",),
    ),
    "power_on_for_return": Rule(
        "storage that was taken away comes back when nothing stale is left",
        ("fencing.shot_deadline_s",),
    ),
    "return_waits_for_storage": Rule(
        "storage that was taken away comes back when nothing stale is left",
        ("fencing.shot_deadline_s",),
    ),
    "fence_device_failing": Rule(
        "a device is asked before it is needed", ("fencing.check_period_s",)
    ),
    "fence_device_taken": Rule("a device takes one order at a time; none is given up for that"),
    "fence_device_of_another": Rule(
        "a device that answers for another machine is never shot with; its level has failed"
    ),
    "fence_level_failed": Rule("a level that is not proven in time has failed", _SHOT),
    "fence_failed": Rule(
        "when every level has failed the ladder is climbed again after a pause",
        ("fencing.retry_after_s", *_SHOT),
    ),
    "fence_orders_late": Rule(
        "an order starts within the lease of its journal entry, or not at all",
        ("fencing.lease_s", "fencing.retry_after_s"),
    ),
    "fencing_retried": Rule("fencing goes on until proven", ("fencing.retry_after_s",)),
    "host_fenced": Rule(
        "what was read is proof; an order that went well is none", (*_SHOT, *_UNSHOT)
    ),
    "proof_not_fresh": Rule(
        "a proof ages: power must have been read Off lately before a guest moves",
        ("fencing.proof_fresh_s", "fencing.reread_period_s"),
    ),
    "proof_not_renewed": Rule(
        "a proof that could not be renewed in time moves no guest: the next level is tried",
        ("fencing.proof_fresh_s", "fencing.confirm_timeout_s"),
    ),
    "proof_contradicted": Rule(
        "life of a proven boot voids the proof; that level is trusted no more",
        ("detection.fresh_s",),
    ),
    "word_expired": Rule(
        "a word that has not become a proof in its time has to be given anew",
        ("fencing.operator_word_s",),
    ),
    "word_contradicted": Rule("life heard after a word of death ends that word for good"),
    "session_outlives_proof": Rule(
        "a dead host's session ends within its time-out", ("zookeeper.session_timeout_s",)
    ),
    # Evacuation.
    "guest_waits": Rule("each try that failed doubles the pause before the next", _ROOM[-2:]),
    "no_valid_host": Rule("a guest goes only where it fits", _ROOM),
    "guest_waits_for_slot": Rule("so many guests are on their way at a time", _SLOTS),
    "guest_not_movable": Rule(
        "a guest whose disk died with its host moves only where its loss is accepted",
        ("evacuation.instance_disks", "evacuation.local_disk"),
    ),
    "evacuation_unknown": Rule(
        "a lost answer is a request that may still act", ("evacuation.unknown_after_s",)
    ),
    "evacuation_stuck": Rule(
        "what nobody takes up for so long is called stuck", ("evacuation.stuck_after_s",)
    ),
    "evacuation_taken": Rule(
        "what nobody takes up for so long is called stuck", ("evacuation.stuck_after_s",)
    ),
    "evacuation_queued": Rule(
        "what nobody takes up for so long is called stuck", ("evacuation.stuck_after_s",)
    ),
    "rebuild_stuck": Rule(
        "what does not go on for so long is called stuck", ("evacuation.stuck_after_s",)
    ),
    # Return.
    "return_waits_for_shot": Rule(
        "a host stays shut while an order to cut its power can still act",
        ("fencing.shot_deadline_s", "fencing.lease_s"),
    ),
    "before_gate_run": Rule(
        "the operator's program runs before nova-compute may start",
        ("recovery.before_gate_timeout_s",),
    ),
    "return_waits_for_program": Rule(
        "the operator's program runs before nova-compute may start",
        ("recovery.before_gate_timeout_s",),
    ),
    "guests_refused": Rule(
        "what moved away may not start here for a while", ("recovery.stale_watch_s",)
    ),
    "denial_lifted": Rule(
        "what moved away may not start here for a while", ("recovery.stale_watch_s",)
    ),
    "host_returned": Rule(_QUARANTINE, _QUARANTINE_KEYS),
    "agentless_returned": Rule(_QUARANTINE, _QUARANTINE_KEYS),
    "storm_began": Rule(_MANY, _STORM),
    "storm_over": Rule("after a storm nothing new for a while", ("holds.storm_cooldown_s",)),
}

HOLD_RULES: Mapping[HoldKind, Rule] = {
    HoldKind.STORM: Rule(_MANY, _STORM),
    HoldKind.RATE: Rule(
        "only so many convictions in a while", ("holds.rate_hosts_max", "holds.rate_window_s")
    ),
    HoldKind.SHADOW: Rule(
        "in shadow mode everything is told and nothing is done", ("cluster.mode",)
    ),
    HoldKind.PROTECTED: Rule(
        "what hamon itself stands on is not fenced", ("holds.fence_controllers",)
    ),
    HoldKind.OWN_HEALTH: Rule(
        "a controller that is not well convicts nobody",
        ("holds.tick_lag_max_s", "holds.unhealthy_for_s", "holds.blind_share_max"),
    ),
    HoldKind.START_UP: Rule(
        "agents get time to register first",
        ("detection.boot_grace_s", "zookeeper.session_timeout_s"),
    ),
    HoldKind.OPERATOR_DISABLED: Rule("what somebody set aside is that person's work"),
    HoldKind.NOVA_NOT_READ: Rule(
        "before a host is convicted Nova is asked, anew, whether somebody disabled it"
    ),
    HoldKind.MAINTENANCE: Rule("a host in maintenance is never suspected, never fenced"),
    HoldKind.DISARMED: Rule("disarmed, nothing new is started anywhere"),
    HoldKind.UNREADABLE: Rule("what cannot be read is not guessed at"),
    HoldKind.TWO_COPIES: Rule("only a person can tell which copy counts"),
    HoldKind.ROLLED_BACK: Rule("after a restored ensemble nothing is written"),
    HoldKind.UNGATED: Rule(
        "no guest is moved away from where it may start without hamon's leave", ("cluster.mode",)
    ),
    HoldKind.DEFINITIONS_LOST: Rule("mass disappearance is believed of no host"),
}

_NAMES_HOLD = {
    "hold": "kind",
    "conviction_held": "by",
    "fencing_held": "by",
    "evacuation_held": "by",
    "restart_held": "by",
}
"""Reasons whose rule is that of the hold they name, and the fact that names it."""


def rule_of(code: str, facts: Mapping[str, str]) -> Rule | None:
    """Return the rule behind a reason; None: there is none to tell."""
    kind = hold_named(code, facts)
    if kind is not None:
        return HOLD_RULES[HoldKind(kind)] if kind in set(HoldKind) else Rule(_HELD)
    return RULES.get(code)


def hold_named(code: str, facts: Mapping[str, str]) -> str | None:
    """Return the kind of the hold that a reason names; None: it is not about a hold."""
    return facts.get(_NAMES_HOLD[code], "") if code in _NAMES_HOLD else None
