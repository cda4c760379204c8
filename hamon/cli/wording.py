"""What reason codes and holds mean in words, and what an operator can do about them.

Codes are data that other rooms write; only this page turns them into sentences. A fact that a
sentence does not mention is put behind it, so that nothing that was known is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

from hamon.cli.cloud_wording import CLOUD_WORDINGS
from hamon.cli.phrase import Wording
from hamon.cli.story_wording import STORY_WORDINGS
from hamon.model.control import HoldKind

_POWER_OFF = "if it is down for good, switch it off or use `hamon confirm-down`"
_HOLDS = "`hamon status` shows what holds"

WORDINGS: Mapping[str, Wording] = {
    # The heartbeat and the verdict.
    "never_seen": Wording(
        "its agent has never registered; nothing is known to protect",
        "install and start both agents there, or check its name and ZooKeeper password",
    ),
    "host_registered": Wording("its agent registers for the first time, boot {boot_id}"),
    "heartbeat_present": Wording("its agent's session lives"),
    "heartbeat_late": Wording(
        "its agent's session lives, but every probe is silent",
        "look at its network; nothing is done to it while the session lives, unless its power"
        " reads Off",
    ),
    "host_well_again": Wording("it is heard again; the suspicion is dropped"),
    "guest_without_definition": Wording(
        "{name} belongs to this host, but its definition was never published: it cannot move",
        "its definition is on the host's own disk; bring the host back, or define it anew by hand",
    ),
    "offer_renewed": Wording("the offer of {name} is bound to its host's new boot"),
    "destination_restarted": Wording(
        "destination {host} rebooted before it took the guest; another host is looked for"
    ),
    "storm_began": Wording(
        "a storm began ({where}): it is written down, so that a later leader lets it cool down too"
    ),
    "mode_told": Wording("{hosts} hosts are told that hamon is in {mode} mode"),
    "storm_over": Wording("a storm and its cool-down are over ({where})"),
    "release_ended": Wording("a release from a storm's hold has come to its end"),
    "release_of_living_ended": Wording(
        "{hosts} came back in the boot that was released: a storm holds them again",
        "if they are lost once more, look again, and release them again",
    ),
    "maintenance_ended": Wording("maintenance of {hosts} has come to its end"),
    "alive_by_session": Wording("it lives: its agent's session is there, boot {boot_id}"),
    "alive_by_echo": Wording(
        "its agent's session is lost, but the agent answers on plane {plane}, boot {boot_id}:"
        " it lives and is left alone",
        "look why its agent cannot reach ZooKeeper",
    ),
    "alive_by_kernel": Wording(
        "its agent's session is lost, but its kernel answers on plane {plane} ({detail}):"
        " it may still run guests and is left alone",
        "look at the host; " + _POWER_OFF,
    ),
    "probes_undecided": Wording(
        "its session is lost, but the probes have not been silent for long enough"
    ),
    "plane_not_heard": Wording(
        "its session is lost, but plane {plane} has not been silent for long enough, or not been"
        " probed freshly",
        "look at this controller's network on that plane; " + _POWER_OFF,
    ),
    "own_plane_suspect": Wording(
        "its session is lost, but this controller hears no host at all on plane {plane}:"
        " its own network may be what is broken",
        "look at this controller's network; " + _POWER_OFF,
    ),
    "heard_by_another": Wording(
        "controller {controller} hears it on plane {plane}: it lives and is left alone",
        "look at this controller's network, and why the host cannot reach ZooKeeper",
    ),
    "too_few_views": Wording(
        "its session is lost and its planes are silent, but only {agree} controllers hear that, and"
        " {wanted} must",
        "look at the controllers' networks; " + _POWER_OFF,
    ),
    "alive_on_storage": Wording(
        "it is not heard on the network, but writes its heartbeat to shared storage ({mount}),"
        " boot {boot_id}",
        "look at its network",
    ),
    "alive_by_service": Wording(
        "its session is lost, but its nova-compute ({service_host}) sends heartbeats since",
        "look why its agent cannot reach ZooKeeper",
    ),
    "kernel_answers_only": Wording(
        "for {for_s} s only its kernel has answered", "look at its console; " + _POWER_OFF
    ),
    "host_partitioned": Wording(
        "it is cut off from the network, and lives: its guests run on",
        "mend its network, or give it up with `hamon evacuate-host` once it is off; policy:"
        " `detection.partitioned`",
    ),
    "host_hung": Wording(
        "it hangs: its kernel answers, nothing above it does",
        "look at its console; " + _POWER_OFF + "; policy: `detection.hung`",
    ),
    "checks_failed": Wording("it lives, but its own checks fail: {checks}"),
    "host_degraded": Wording(
        "it lives, but its guests may not: {checks}",
        "mend what the check names; nothing new is placed there (policy: `detection.degraded`)",
    ),
    "crash_notice": Wording("it is dead: its crash kernel says so, from {address}"),
    "power_off_and_late": Wording(
        "it is dead: power read Off twice, every probe silent; its session has not ended yet"
    ),
    "power_off_and_silent": Wording(
        "it is dead: session lost, power read Off twice, every probe silent"
    ),
    "silent_on_every_plane": Wording(
        "it is dead: session lost and silent on every plane, which {seconded_by} also sees"
    ),
    "fenced_by_hand": Wording("{who} had it fenced"),
    "powered_on_by_hand": Wording("{who} had it switched on by its device {device}"),
    "power_on_for_return": Wording("its storage is given back by {device}"),
    "return_waits_for_storage": Wording(
        "its stale copies are gone; {device} gives it its storage back",
        "look at the program of that device",
    ),
    "fence_device_failing": Wording(
        "its fence device {device} does not work: {why}; last good {good}",
        "mend it before it is needed; `hamon fence check HOST` tries it now",
    ),
    "confirmed_down": Wording("{who} gave their word that it has no power"),
    # Leaving, restarting, quarantine.
    "host_leaving": Wording("it announced that it goes ({leaving}) and is not suspected"),
    "host_left": Wording(
        "it announced that it goes ({leaving}) and is gone; it is waited for",
        "start it again, or use `hamon evacuate-host` if it shall not come back",
    ),
    "leaving_overdue": Wording(
        "it announced that it goes, and has been away for longer than it may",
        "start it again, or use `hamon evacuate-host`",
    ),
    "host_restarted": Wording("it has restarted by itself: a new boot {boot_id}"),
    "restart_waits_for_guests": Wording(
        "it has restarted; these guests are not back as wanted: {guests}",
        "look at its libvirt and the log of hamon-agent-guests there",
    ),
    "host_restored_in_place": Wording("it has restarted, and its guests are back as wanted"),
    "quarantined": Wording(
        "it came back {returns} times in a row and takes no guests for {for_s} s more",
        "find out why it fails",
    ),
    "quarantine_over": Wording("its quarantine is over; it takes guests again"),
    "returns_forgotten": Wording("it has stayed up; its {returns} returns are forgotten"),
    "incident_forgotten": Wording(
        "its old incident {incident} is forgotten, as `recovery.incidents_kept` says; migrations"
        " left to delete: {left}"
    ),
    # Holds.
    "hold": Wording("held ({kind}) by {who}: {why}"),
    "conviction_held": Wording("it would be fenced now, but is held ({by}): {why}", _HOLDS),
    "fencing_held": Wording("its fencing is held ({by}): {why}", _HOLDS),
    "evacuation_held": Wording("its evacuation is held ({by}): {why}", _HOLDS),
    "restart_held": Wording(
        "its guests would be started again, but that is held ({by}): {why}", _HOLDS
    ),
    "leader_yields": Wording(
        "this leader has not reached {system} for {for_s} s, and {to} does: it leaves office",
        "look at this controller's network",
    ),
    "new_leader_waits": Wording(
        "the new leader waits {for_s} s until nothing of its predecessor can still act"
    ),
    # Fencing.
    "host_convicted": Wording("it lost its right to live (incident {incident}) by {by}"),
    "would_be_convicted": Wording("it would lose its right to live, and be fenced, by {by}"),
    "fencing": Wording("it is being fenced; the ladder's next step: {step}"),
    "fence_shot": Wording("its device {device} is ordered to cut the power, attempt {attempt}"),
    "fence_device_taken": Wording(
        "its device {device} carries out the order for host {by} first: one at a time"
    ),
    "fence_device_of_another": Wording(
        "its device {device} answers for another machine ({identity}): nothing is ordered there",
        "correct the device's address, or the host's product_uuid, in hosts.d",
    ),
    "fence_level_failed": Wording(
        "fencing level {level} failed; the next level is tried", "look at that level's devices"
    ),
    "fence_failed": Wording(
        "every fencing level failed; none of its guests can move; it is tried again after a pause",
        "switch it off by hand, then `hamon confirm-down`; look at its devices",
    ),
    "fence_orders_late": Wording(
        "its device {device} could not be ordered: {late} orders came too late to be given, because"
        " ZooKeeper takes too long to write them down",
        "look at ZooKeeper's disks and network, and at the load of this controller",
    ),
    "fencing_retried": Wording("its fencing starts again, attempt {attempt}"),
    "host_fenced": Wording("it is proven dead by {method}: {detail}"),
    "power_on_again": Wording(
        "its power reads On again after the proof; it is fenced again, attempt {attempt}",
        "find out who switched it on",
    ),
    "proof_not_renewed": Wording(
        "the proof that it is dead has aged and could not be renewed; it is fenced again, from"
        " level {level}, attempt {attempt}",
        "look why its fence device does not answer any more",
    ),
    "storage_granted_again": Wording(
        "it has its storage again after the proof; it is fenced again, attempt {attempt}",
        "find out who gave it back",
    ),
    "proof_contradicted": Wording(
        "a boot that was proven dead shows life: nothing more moves before a new proof",
        "a fence device lies: look at which machine it really switches",
    ),
    "word_expired": Wording(
        "the word of {who} that it has no power proved nothing in its time: it counts no more",
        "look again whether it is off; if it is, `hamon confirm-down` once more",
    ),
    "word_contradicted": Wording(
        "it was heard after {told_by} told of its death: that word counts no more",
        "look whether it is really off; if it is, `hamon confirm-down` once more",
    ),
    "session_outlives_proof": Wording(
        "its power reads Off, but the ZooKeeper session of that boot ({boot_id}) does not end",
        "look at its console; if it is off, ZooKeeper has left its alive/hb behind: delete it",
    ),
    "host_is_another_machine": Wording(
        "what registers under its name is another machine: {found}, configured is {wanted}",
        "correct product_uuid and the fence devices in hosts.d, or its name; until then hamon could"
        " not fence it",
    ),
    "incident_not_read_yet": Wording("its incident has not been read yet"),
    "host_not_configured": Wording(
        "its incident {incident} is open, but it is in no hosts.d: nothing new is done for its"
        " guests",
        "put it back into hosts.d on every controller, and restart them; the incident is closed"
        " when the host is back in service, and only then does `hamon host remove` forget it",
    ),
    "guard_and_record_disagree": Wording(
        "ZooKeeper's two records of it disagree; nothing is done",
        "look who else writes there; report this",
    ),
    # Evacuation.
    "evacuation_started": Wording("the evacuation of its guests begins (incident {incident})"),
    "host_evacuated": Wording("all its guests that can move have moved (incident {incident})"),
    "migration_recorded": Wording("guest {name} is recorded to move away from {source}"),
    "guest_scheduled": Wording("guest {name} is offered to {host}"),
    "guest_claimed": Wording("{host} has claimed guest {name} and rebuilds it"),
    "guest_evacuated": Wording("guest {name} lives on {host} now"),
    "guest_released": Wording(
        "{host} could not rebuild guest {name}: {why}; another host is looked for",
        "look at the log of hamon-agent-guests there",
    ),
    "destination_died": Wording("destination {host} died meanwhile; another host is looked for"),
    "guest_waits": Wording("guest {name} waits before it is tried again: {why}"),
    "guest_waits_for_slot": Wording(
        "the guest waits until one of {in_flight} others has arrived",
        "evacuation.in_flight_max sets how many move at once",
    ),
    "guest_in_flight": Wording(
        "the guest is on its way to {host} ({status})",
        "if it stays so for long, look at libvirtd and the agent's log on {host}",
    ),
    "guest_kept_for_copy": Wording(
        "guest {name} is not moved: it {why}",
        "look at it there; shut that copy down, and it is moved",
    ),
    "no_valid_host": Wording(
        "no host takes the guest: {why}",
        "make room or mend what is named; it goes as soon as a host fits",
    ),
    "proof_not_fresh": Wording(
        "the guest could move, but the proof that {source} is dead has aged; power is read again",
        "look at the fence devices of {source}",
    ),
    "reserved_host_used": Wording(
        "the reserved host is put to use for {incident}: its guests find no room elsewhere",
        "`hamon host reserve HOST` gives it back when there is room again",
    ),
    "guest_waits_for_ready": Wording("{name} waits for {on} to be ready, {left_s} s left"),
    "guest_not_ready": Wording("{name} has arrived and is not ready yet, {left_s} s left: {why}"),
    "guest_ready": Wording("guest {name} is ready on {host}"),
    "guest_ready_timed_out": Wording(
        "guest {name} on {host} was not ready in time: nobody waits for it any more",
        "look at the guest, and at hamon:ready_address and hamon:wait_for_ready",
    ),
    "guest_never_ready": Wording(
        "guest {name} on {host} has no channel for a guest agent: nobody waits for it any more",
        "give its domain the channel org.qemu.guest_agent.0 (in Nova: the image property"
        " hw_qemu_guest_agent), or say otherwise in hamon:wait_for_ready",
    ),
    "guest_opted_out": Wording(
        "{name} opted out of evacuation: {by}",
        "`hamon evacuate` moves it all the same, when a person asks for it",
    ),
    "guest_choice_refused": Wording(
        "{name}: what is said of it makes no sense, or could not be read, and does not"
        " count: {what}",
        "docs/guests.md has every key and its values",
    ),
    "guest_not_movable": Wording(
        "guest {name} cannot move: {why}", "it stays with its host; mend or switch on that host"
    ),
    "guest_never_adopted": Wording(
        "guest {name} was never taken under protection and does not move",
        "it appeared just before; start it elsewhere by hand only when its host is proven dead",
    ),
    "guest_in_other_migration": Wording("the guest moves already (incident {incident})"),
    # Ownership.
    "guest_adopted": Wording("guest {name} on {host} is taken under protection"),
    "guest_followed": Wording("guest {name} was moved by an operator from {source} to {host}"),
    "guest_retired": Wording("guest {name} was undefined on {host}; it is protected no more"),
    "ownership_unclear": Wording(
        "the guest is seen on {seen_on} but belongs to {owner}, whose libvirt is not seen now",
        "it is decided as soon as {owner} is seen",
    ),
    "two_running_copies": Wording(
        "guest {name} runs on several hosts: {hosts}",
        "stop the wrong copy at once; only you can tell which one counts",
    ),
    # Return.
    "host_returning": Wording("it is back with a new boot {boot_id}, still shut out"),
    "return_waits_for_migrations": Wording("it stays shut until these guests have moved: {guests}"),
    "return_waits_for_host": Wording(
        "it was coming back and is gone again; the guests that stayed there are down",
        "switch it on again, or off for good: once seen dead it is fenced, and they move",
    ),
    "return_waits_for_shot": Wording("it stays shut until no order to device {device} can act"),
    "return_waits_for_stale_guests": Wording(
        "it stays shut until stale copies of these guests are gone from it: {guests}",
        "look at the log of hamon-agent-guests there",
    ),
    "return_waits_for_copies": Wording(
        "it stays shut: guests that it would start run, or may run, elsewhere: {guests}",
        "look at them there, and shut down the copies that are not to be",
    ),
    "return_waits_for_libvirt": Wording(
        "it stays shut until its libvirt is seen in the new boot",
        "look at libvirtd and hamon-agent-guests there",
    ),
    "guest_stays": Wording("guest {name} stays on {host}, which came back first"),
    "host_returned": Wording("it is back in service, boot {boot_id}"),
    # Requests.
    "request_accepted": Wording("a request ({kind}) is carried out"),
    "request_refused": Wording("a request ({kind}) is refused: {why}"),
    **CLOUD_WORDINGS,
    **STORY_WORDINGS,
}

HOLD_WORDINGS: Mapping[HoldKind, Wording] = {
    HoldKind.STORM: Wording(
        "too many hosts lost at once",
        "a network or ZooKeeper is the likelier cause; if they are really lost:"
        " `hamon hold release`; one host: `hamon evacuate-host`",
    ),
    HoldKind.RATE: Wording(
        "too many convictions", "find out what fails; one host: `hamon evacuate-host`"
    ),
    HoldKind.SHADOW: Wording("shadow mode", 'cluster.mode = "active" in hamon.toml ends it'),
    HoldKind.PROTECTED: Wording(
        "hamon itself stands on it", "holds.fence_controllers = true may allow it to be fenced"
    ),
    HoldKind.OPERATOR_DISABLED: Wording(
        "an operator disabled it", "`hamon evacuate-host {scope}` if its guests shall move"
    ),
    HoldKind.NOVA_NOT_READ: Wording(
        "its service in Nova is being read",
        "ends with the reading; if it lasts, look whether nova-api and keystone answer",
    ),
    HoldKind.OWN_HEALTH: Wording(
        "this controller is not well",
        "ends by itself when it is; if it lasts, look at its network, and at what may keep it from"
        " the ports it probes",
    ),
    HoldKind.START_UP: Wording("just started", "ends by itself"),
    HoldKind.MAINTENANCE: Wording("in maintenance", "`hamon maintenance off {scope}` ends it"),
    HoldKind.DISARMED: Wording("disarmed", "`hamon arm` ends it"),
    HoldKind.UNREADABLE: Wording(
        "a record cannot be read", "upgrade this controller, or mend the znode"
    ),
    HoldKind.TWO_COPIES: Wording(
        "two copies of a guest run", "stop the wrong one at once; only you can tell which"
    ),
    HoldKind.ROLLED_BACK: Wording(
        "ZooKeeper was restored from an old state",
        "compare with what runs on the hosts before anything else",
    ),
    HoldKind.UNGATED: Wording(
        "it still goes by shadow mode",
        "ends when hamon-agent-guests there reads of active mode; if the host is gone:"
        " `hamon evacuate-host {scope}`, and see that none of its guests starts there when it boots"
        " again",
    ),
    HoldKind.DEFINITIONS_LOST: Wording(
        "definitions of guests are gone",
        "restore libvirt's configuration there, or `hamon agent forget UUID` on that host",
    ),
}


class _Facts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def in_words(code: str, facts: Mapping[str, str]) -> Wording:
    """Return the sentence for a reason, and the advice, filled with its facts.

    A code of a newer daemon that this command line does not know is shown as it is. ``name`` is the
    subject's own: whoever shows the sentence puts it in front where it is not mentioned.
    """
    wording = WORDINGS.get(code, Wording(code.replace("_", " ")))
    text = _filled(wording.text, facts)
    used = fields_of(wording.text) | {"name"}
    rest = ", ".join(f"{key} {value}" for key, value in facts.items() if key not in used and value)
    return Wording(f"{text} [{rest}]" if rest else text, _filled(wording.advice, facts))


def hold_in_words(kind: str, scope: str) -> Wording:
    """Return what a hold means and what ends it."""
    if kind not in set(HoldKind):
        return Wording(kind.replace("_", " "))
    wording = HOLD_WORDINGS[HoldKind(kind)]
    return Wording(wording.text, _filled(wording.advice, {"scope": scope}))


def fields_of(text: str) -> frozenset[str]:
    """Return the names of the facts that a sentence mentions."""
    return frozenset(field for _, field, _, _ in Formatter().parse(text) if field)


def _filled(text: str, facts: Mapping[str, str]) -> str:
    return text.format_map(_Facts(facts))
