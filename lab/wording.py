"""What a spectator is told of the events in hamon's logs: one line for each kind, or none."""

from collections import defaultdict
from collections.abc import Mapping

from lab.event_log import Event

# Filled in with what is on the line of the log, and `machine`, which logged it.
_SHARED = {
    "heartbeat_late": "suspect: it is late on every way that hamon listens",
    "host_convicted": "CONVICTED by {machine}: {by}; incident {incident}",
    "conviction_held": "conviction held by {by}: {why}",
    "fence_shot": "fencing: power-off ordered from {device}",
    "fence_shot_ended": "fencing: {device} says {outcome}",
    "fence_level_failed": "fencing FAILED",
    "fence_failed": "fencing FAILED",
    "host_fenced": "FENCED: {detail}",
    "migration_recorded": "migration recorded: evacuation from {source}",
    "no_valid_host": "no valid host: {why}",
    "host_evacuated": "EVACUATED: every migration is done",
    "host_returning": "is back with a new boot; it stays shut out until it is clean",
    "host_returned": "RETURNED: migrations completed, the right to run guests given back",
    "office_taken": "leads now, epoch {epoch}",
    "office_lost": "leads no more",
}
_LIBVIRT = {
    "grant_claimed": "claimed by {machine}, being rebuilt there",
    "grant_settled": "rebuilt: libvirt on {machine} runs it",
    "rebuild_failed": "rebuild on {machine} failed: {why}",
    "stale_copy_removed": "stale copy deleted from {machine}; it lives on {moved_to}",
}
_NOVA = {
    "service_shut_out": "forced down and disabled in Nova, with the incident as the reason",
    "evacuation_sent": "Nova is asked to evacuate it",
    "evacuation_refused": "Nova refuses for now: {why}",
    "evacuation_unknown": "nobody knows whether Nova has the request; it is looked for",
    "evacuation_lost": "the request came to nothing: {why}; asked again",
    "guest_claimed": "claimed by nova-compute on {host}, being rebuilt there",
    "rebuild_failed": "rebuild failed: {why}",
    "guest_evacuated": "rebuilt: on {host} by Nova's record, and its agent sees it run",
    "stale_copy_off": "cannot start on {machine} any more: it lives on {moved_to}",
    "stale_copy_ended": "a copy of it RAN on {machine}; ended",
    "gate_opened": "gate opened: nova-compute may start, and deletes what was evacuated",
    "guest_started_in_place": "started again on {host}, where it was",
    "force_down_lifted": "clean: Nova completed every record, so the force-down is lifted",
    "service_enabled": "enabled in Nova again: new guests may come",
}
LIBVIRT: Mapping[str, str] = _SHARED | _LIBVIRT
NOVA: Mapping[str, str] = _SHARED | _NOVA


def words(event: Event, wording: Mapping[str, str]) -> str:
    """What is told of an event, "": nothing."""
    facts = defaultdict(str, {key: str(value) for key, value in event.facts.items()})
    facts |= {"machine": event.machine, "by": facts["by"].replace("_", " ")}
    return wording.get(event.name, "").format_map(facts)
