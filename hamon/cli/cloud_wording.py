"""What reason codes mean that only a nova cloud gives; the rest is in ``wording``."""

from __future__ import annotations

from collections.abc import Mapping

from hamon.cli.phrase import Wording

CLOUD_WORDINGS: Mapping[str, Wording] = {
    # Reading Nova, and its services.
    "waits_for_cloud": Wording(
        "Nova has not been read yet: {what}", "look whether nova-api and keystone answer"
    ),
    "waits_for_choices": Wording(
        "{name} waits a moment: what its image and its host's aggregates say is being read"
    ),
    "waits_for_cell": Wording(
        "Nova does not reach the cell of its guests: nothing is asked for or concluded",
        "look at the cell's database and message queue",
    ),
    "nova_read_by_leader_only": Wording(
        "this controller stands by and does not read Nova: only the leader can say why",
        "`hamon status` on each controller says which one leads; ask there",
    ),
    "waits_for_shut_out": Wording(
        "nothing is sent before every dead host is forced down in Nova: {hosts}",
        "look whether nova-api answers, and at the daemon's log",
    ),
    "compute_without_agent_down": Wording(
        "nova-compute {service_host} is down by Nova's word and is not enrolled here:"
        " nothing is done about it",
        "enrol it in hosts.d, or look after it by hand",
    ),
    # Hosts without an agent.
    "agentless_seen": Wording("Nova calls its nova-compute up for the first time"),
    "agentless_down": Wording(
        "its nova-compute is down by Nova's word (row last written {beat_at}); it has no agent, so"
        " nothing is done by itself",
        "look at it; if it is dead, `hamon evacuate-host` (its power must read Off, or can be cut),"
        " or `hamon confirm-down` when its devices do not answer",
    ),
    "agentless_forced_down": Wording(
        "somebody forced its nova-compute down in Nova (row last written {beat_at}); it has no"
        " agent, so nothing is done by itself",
    ),
    "agentless_unknown": Wording(
        "it has no agent, and nothing is known of it now: {why}",
        "look at nova-api, at the name of its nova-compute, and at this controller's network",
    ),
    "agentless_alive": Wording(
        "it cannot be proven dead while anything answers: {by} ({detail})",
        "look what answers at its addresses, and what its fence devices really switch",
    ),
    "agentless_given_up": Wording("a person gave it up; Nova calls it down, every probe is silent"),
    "agentless_stirs": Wording(
        "it was proven dead and shows life: {by}; nothing moves until its power has been read",
        "find out whether somebody switched it on; On lets it come back, Off proves its device"
        " wrong; if its devices do not answer, mend them",
    ),
    "agentless_powered_on": Wording(
        "it was switched on again ({by}); it comes back when its nova-compute sends a heartbeat",
        "look at nova-compute there",
    ),
    "agentless_returning": Wording(
        "it was switched on again and its nova-compute sends heartbeats; still shut out"
    ),
    "agentless_return_unchecked": Wording(
        "it has no agent: no gate held its nova-compute back, nobody looks for stale copies there,"
        " and nobody can tell whether guests that stayed run: {guests}",
        "look at them there; `openstack server reboot --hard` starts one that is off, before Nova"
        " takes it for stopped",
    ),
    "agentless_waits_for_records": Wording(
        "it stays shut until Nova has completed its evacuation records {records}: by them its"
        " nova-compute could destroy these guests at a later start: {guests}",
        "restart nova-compute there: only its start removes the copies and completes the records",
    ),
    "agentless_returned": Wording("it is back in service"),
    "service_shut_out": Wording(
        "its nova-compute is forced down and disabled in Nova (incident {incident})"
    ),
    "service_disabled": Wording("its nova-compute is disabled: nothing new is placed there"),
    "service_enabled": Wording("its nova-compute, which hamon had disabled, is enabled again"),
    # A guest on its way.
    "evacuation_sent": Wording("Nova is asked to evacuate guest {name}, attempt {attempt}"),
    "evacuation_adopted": Wording(
        "guest {name} was being evacuated already by somebody else (Nova's record {number});"
        " it is followed"
    ),
    "evacuation_unknown": Wording(
        "nobody knows whether Nova has the request for guest {name}; that is decided in {for_s} s"
    ),
    "evacuation_not_sent": Wording("the request for guest {name} was not sent: {why}"),
    "evacuation_refused": Wording("Nova does not evacuate guest {name} now: {why}"),
    "task_reset": Wording(
        "Nova believes in a task of guest {name} ({task}) at which nobody works: forgotten"
    ),
    "evacuation_lost": Wording("the request for guest {name} came to nothing: {why}; asked again"),
    "evacuation_stuck": Wording(
        "Nova took the request for guest {name} (record {number}, {request_id}) and no host has"
        " claimed it for long",
        "look whether nova-conductor and nova-scheduler live: it goes on when they do",
    ),
    "reserved_host_awaited": Wording(
        "its guests find no room; reserved host {host} is in use, and its nova-compute is to be"
        " enabled before another is used",
        "if it lasts, look whether nova-api answers, and at the daemon's log",
    ),
    "claim_awaited": Wording(
        "Nova has been asked to evacuate the guest ({status}); no compute has claimed it yet",
        "if it stays so for long, look at nova-conductor and nova-scheduler",
    ),
    "outcome_awaited": Wording(
        "Nova's evacuation of the guest is {status}; what became of the guest is read next",
        "if it stays so for long, `openstack server show` tells what Nova is doing with it",
    ),
    "evacuation_queued": Wording(
        "Nova has sent the request for guest {name} (record {number}) to {host}, whose nova-compute"
        " has not taken it up: when that goes on it rebuilds the guest",
        "start nova-compute there; if it is never to run again, force it down in Nova, and the"
        " guest is asked for anew",
    ),
    "evacuation_taken": Wording(
        "nova-compute on {host} took the request for guest {name} (record {number}) and has not"
        " claimed the guest for long; nothing more is done before it does",
        "look at nova-compute and libvirtd there: something it calls does not answer; if the host"
        " is dead it is evacuated as well",
    ),
    "rebuild_stuck": Wording(
        "guest {name} has been {status} on {host} for long",
        "look at nova-compute and libvirtd there; if that host is dead it is evacuated as well",
    ),
    "rebuild_failed": Wording("Nova could not rebuild guest {name}: {why}; tried again"),
    "destination_rebooted": Wording("guest {name} is asked for again: {why}"),
    "failed_rebuild_not_seen": Wording(
        "Nova's evacuation of guest {name} failed on {host}, whose agent does not say now whether"
        " it runs there; nothing more is done before it does",
        "look at libvirtd and hamon-agent-guests there",
    ),
    "source_took_record": Wording("Nova closed the evacuation of guest {name}: {why}"),
    "two_evacuations": Wording(
        "Nova evacuates guest {name} to two hosts at once: {destinations}; nothing more is done",
        "look at both; power off the copy that is not to be, then end its migration in Nova",
    ),
    "guest_runs_unknown_to_nova": Wording(
        "Nova's evacuation of guest {name} failed, but it runs on {host}; nothing more is done",
        "look at it there; end the copy, or set it right in Nova",
    ),
    "guest_runs_elsewhere": Wording(
        "Nova gives guest {name} to {nova}, but {where}: it is not started a second time,"
        " and {nova} waits",
        "look at it on {host}; end the copy, or set it right in Nova",
    ),
    "guest_not_seen": Wording(
        "Nova says guest {name} is on {host}, but its agent does not see it as wanted",
        "look at libvirtd and hamon-agent-guests there",
    ),
    "waits_for_power": Wording("guest {name} is on its new host and is yet to be {wanted}"),
    "power_restored": Wording("guest {name} on {host} is brought to {wanted}, as it was"),
    "guest_started_in_place": Wording("guest {name} is started again on {host}, where it was"),
    "guests_refused": Wording(
        "it refuses to start {guests} guests that were evacuated from it, until it has been up for"
        " recovery.stale_watch_s or Nova sends them back"
    ),
    "denial_lifted": Wording("{host} may start the guest again ({why})"),
    # The way back of a host.
    "before_gate_run": Wording("{program} is run before nova-compute may start on it"),
    "return_waits_for_program": Wording(
        "it stays shut until {program} has ended (recovery.before_gate)",
        "look at what it does; it is killed after recovery.before_gate_timeout_s",
    ),
    "gate_opened": Wording("nova-compute may start on it, to clean up, boot {boot_id}"),
    "return_waits_for_nova": Wording(
        "it stays shut until Nova is read: {what}", "look whether nova-api answers"
    ),
    "return_waits_for_nova_compute": Wording(
        "it stays shut until its nova-compute sends a heartbeat",
        "look at nova-compute and `hamon agent gate` there",
    ),
    "return_waits_for_records": Wording(
        "it stays shut until Nova has completed its evacuation records {records}: by them its"
        " nova-compute could destroy these guests at a later start: {guests}",
        "restart nova-compute there: each of its starts completes one record of a guest; look at"
        " its log when one stays open",
    ),
    "records_left_open": Wording(
        "Nova left its evacuation records {records} away from it open: if a guest of theirs comes"
        " back to it, the next start of nova-compute there destroys that guest",
        "restart nova-compute there, once for each of a guest's records, before that",
    ),
    "force_down_lifted": Wording("its nova-compute is no longer forced down in Nova"),
    "force_down_not_lifted": Wording(
        "it stays shut because Nova did not lift its forced-down state: {why}",
        "look at what Nova says; it is asked again",
    ),
    "return_waits_for_service_up": Wording(
        "it waits until Nova calls its nova-compute up",
        "look at nova-compute there and at the messages between it and nova-conductor",
    ),
}
