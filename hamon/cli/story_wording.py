"""What reason codes mean that only stories give: moments of incidents, and what would come next."""

from __future__ import annotations

from collections.abc import Mapping

from hamon.cli.phrase import Wording

STORY_WORDINGS: Mapping[str, Wording] = {
    # What was seen before the conviction.
    "session_seen_gone": Wording("its agent's session was gone"),
    "witness_says": Wording("{observer}: {source} on {through} says {vote}"),
    "power_reads": Wording("its power reads {power} by {device}"),
    # What is written down with what follows from it, or alone.
    "fence_shot_ended": Wording("the order to its device {device} ended: {outcome}"),
    "no_longer": Wording("over: {codes}"),
    "incident_noted": Wording("what stands in the way was written into incident {incident}"),
    # What would have to be so.
    "need_session_gone": Wording("its agent's session is gone, or its power read Off twice before"),
    "need_silence": Wording("every probe of it is fresh and silent, one for {after_s} s"),
    "need_no_life": Wording("nothing else shows life (now: {sign})"),
    "need_power_off_twice": Wording(
        "its power reads Off twice, {gap_s} s apart, since it fell silent ({last})"
    ),
    "need_views": Wording("{wanted} controllers hear its silence on every plane (now: {said})"),
    "need_crash_notice": Wording("its crash kernel gave notice"),
    "need_policy": Wording("its policy fences such a host ({key} = {value}), after {for_s} s"),
    "need_harm": Wording(
        "guests suffer by what its checks find; a lost libvirt alone harms none (now: {checks})"
    ),
    "need_no_hold": Wording("no hold stands in the way (now: {held})"),
    "need_watchdog_time": Wording(
        "{device} (level {level}): its own watchdog has had its time to reset it ({left})"
    ),
    "need_device_off": Wording(
        "{device} (level {level}) reads Off twice since its order ended ({last})"
    ),
}
