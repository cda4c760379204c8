"""What the numbers of hamon.toml must add up to; every refusal shows the sum."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator

from hamon.model.policy import DetectionPolicy, Policy
from hamon.model.readings import READING_MAX_AGE_S, READINGS_MAX
from hamon.settings.document import Key
from hamon.settings.values import StorageSettings, ZooKeeperSettings

OFF_GAP_MIN_S = 1.0
"""Two Off readings closer than this may be one answer of a BMC that caches."""

BEAT_SEEN_PERIODS = 2.5
"""A vote stands at the reading before the one that showed the beat: half a period. The next beat
comes after a period and the time to write it, and is read at most half a period later."""

KNOCK_S = 0.5
"""One knock waits so long for an answer (``KnockingPace.timeout_s``)."""

_MAY_BE_ZERO = frozenset(
    {
        ("detection", "boot_grace_s"),
        ("detection", "degraded_wait_s"),
        ("detection", "leaving_wait_s"),
        ("detection", "partitioned_wait_s"),
        ("holds", "storm_cooldown_s"),
        ("evacuation", "reserved_ram_mib"),
        ("recovery", "quarantine_s"),
        ("recovery", "quarantine_max_s"),
        ("recovery", "stale_watch_s"),
    }
)

Problem = tuple[Key, str]


def problems(zookeeper: ZooKeeperSettings, policy: Policy) -> Iterator[Problem]:
    """Say which numbers cannot be used, each with the key to change and why."""
    ranges = tuple(_ranges(policy))
    yield from ranges
    yield from _sessions(zookeeper, policy)
    # Sums of numbers that make no sense by themselves would only repeat the complaint.
    if not ranges:
        yield from _detection(policy.detection)
        yield from _holds(policy)
        yield from _fencing(policy)
        yield from _evacuation_and_return(policy)


def cloud(request_timeout_s: float, call_timeout_s: float) -> Iterator[Problem]:
    """Say what is wrong with the times that Nova is given."""
    if request_timeout_s > call_timeout_s:
        yield _problem(
            "nova.request_timeout_s",
            f"{request_timeout_s:g} > call_timeout_s {call_timeout_s:g}: a call would be given up "
            "while its first request may still be answered, and its thread stay busy for "
            f"{request_timeout_s:g} - {call_timeout_s:g} = {request_timeout_s - call_timeout_s:g} "
            "s more; lower it, or raise the other",
        )


def storage(settings: StorageSettings, policy: Policy) -> Iterator[Problem]:
    """Say what is wrong with the period of the heartbeats on shared storage."""
    period_s, fresh_s = settings.heartbeat_period_s, policy.detection.fresh_s
    seen_s = BEAT_SEEN_PERIODS * period_s
    if settings.heartbeats and seen_s > fresh_s:
        yield _problem(
            "storage.heartbeat_period_s",
            f"{BEAT_SEEN_PERIODS:g} × {period_s:g} = {seen_s:g} > detection.fresh_s {fresh_s:g}: "
            "what is said of a living host would be too old before its next beat is seen; lower "
            "it, on the hosts too, or raise fresh_s",
        )


def _ranges(policy: Policy) -> Iterator[Problem]:
    """Refuse what is not positive; zero where it has a meaning."""
    for table in dataclasses.fields(policy):
        section = getattr(policy, table.name)
        if not dataclasses.is_dataclass(section):
            continue
        for field in dataclasses.fields(section):
            value = getattr(section, field.name)
            key = (table.name, field.name)
            if isinstance(value, str | tuple | bool) or key == ("detection", "session_timeout_s"):
                continue
            if value < 0 or (value == 0 and key not in _MAY_BE_ZERO):
                least = "at least 0" if key in _MAY_BE_ZERO else "more than 0"
                yield key, f"{value:g} must be {least}"


def _sessions(zookeeper: ZooKeeperSettings, policy: Policy) -> Iterator[Problem]:
    session_s = zookeeper.session_timeout_s
    tick_s, limit = zookeeper.tick_time_s, zookeeper.sync_limit
    least_s = 1.5 * (limit + 1) * tick_s
    if session_s < least_s:
        yield _problem(
            "zookeeper.session_timeout_s",
            f"{session_s:g} < 1.5 × (sync_limit {limit} + 1) × tick_time_s {tick_s:g} = "
            f"{least_s:g}: while ZooKeeper's own leader is replaced, sessions of healthy hosts "
            f"would expire; raise it to {least_s:g}, or lower the ensemble's tick or sync limit",
        )
    servers = len(zookeeper.servers)
    round_s = zookeeper.connect_timeout_s * servers
    if round_s >= session_s:
        yield _problem(
            "zookeeper.connect_timeout_s",
            f"{zookeeper.connect_timeout_s:g} × {servers} servers = {round_s:g} ≥ "
            f"session_timeout_s {session_s:g}: a session would end while servers that are down "
            "are tried; lower it",
        )
    if policy.fencing.lease_s >= session_s:
        yield _problem(
            "fencing.lease_s",
            f"{policy.fencing.lease_s:g} ≥ zookeeper.session_timeout_s {session_s:g}: an action "
            "could start after its controller lost its session; lower it",
        )
    late_s = policy.detection.late_after_s + KNOCK_S
    if late_s >= session_s:
        yield _problem(
            "detection.late_after_s",
            f"{policy.detection.late_after_s:g} + {KNOCK_S:g} for a knock = {late_s:g} ≥ "
            f"zookeeper.session_timeout_s {session_s:g}: probes would never be late on every plane "
            "before the session has ended; lower it",
        )
    if policy.holds.tick_lag_max_s >= session_s:
        yield _problem(
            "holds.tick_lag_max_s",
            f"{policy.holds.tick_lag_max_s:g} ≥ zookeeper.session_timeout_s {session_s:g}: a "
            "controller that was stopped for a whole session would still convict; lower it",
        )


def _detection(policy: DetectionPolicy) -> Iterator[Problem]:
    twice_s = 2 * policy.probe_period_s
    for name, value_s, meaning in (
        ("late_after_s", policy.late_after_s, "one lost probe would count as late"),
        (
            "fresh_s",
            policy.fresh_s,
            "answers would be too old before the next probe is due",
        ),
    ):
        if value_s < twice_s:
            yield _problem(
                f"detection.{name}",
                f"{value_s:g} < 2 × probe_period_s {policy.probe_period_s:g} = {twice_s:g}: "
                f"{meaning}; raise it",
            )
    if policy.hung_after_s < policy.late_after_s:
        yield _problem(
            "detection.hung_after_s",
            f"{policy.hung_after_s:g} < late_after_s {policy.late_after_s:g}: an agent that is "
            "only late would count as hung; raise it",
        )
    if policy.off_gap_s < OFF_GAP_MIN_S:
        yield _problem(
            "detection.off_gap_s",
            f"{policy.off_gap_s:g} < {OFF_GAP_MIN_S:g}: two Off readings so close may be one "
            "answer; raise it",
        )
    yield from _kept("detection.look_period_s", policy.look_period_s, policy.off_gap_s)


def _kept(key: str, period_s: float, gap_s: float) -> Iterator[Problem]:
    """Refuse readings that follow each other so fast that those kept are never a gap apart."""
    kept_s = (READINGS_MAX - 1) * period_s
    if kept_s < gap_s:
        yield _problem(
            key,
            f"({READINGS_MAX} - 1) × {period_s:g} = {kept_s:g} < detection.off_gap_s {gap_s:g}: of "
            f"a device the last {READINGS_MAX} readings are kept, and among them no two would be "
            "so far apart, so that Off is never proven; raise it",
        )


def _holds(policy: Policy) -> Iterator[Problem]:
    holds, session_s = policy.holds, policy.detection.session_timeout_s
    for name, share in (
        ("storm_share_max", holds.storm_share_max),
        ("domain_share_max", holds.domain_share_max),
        ("blind_share_max", holds.blind_share_max),
    ):
        if share > 1:
            yield _problem(
                f"holds.{name}", f"{share:g} > 1: it is a share of hosts, 0.25 is a quarter"
            )
    if holds.rate_hosts_max < holds.storm_hosts_max:
        yield _problem(
            "holds.rate_hosts_max",
            f"{holds.rate_hosts_max} < storm_hosts_max {holds.storm_hosts_max}: hosts that may "
            "fail at once would be held for their rate; raise it",
        )
    if holds.rate_window_s < holds.storm_window_s:
        yield _problem(
            "holds.rate_window_s",
            f"{holds.rate_window_s:g} < storm_window_s {holds.storm_window_s:g}: it would add "
            "nothing to the storm's own window; raise it",
        )
    least_s = session_s + policy.detection.late_after_s
    if holds.storm_window_s < least_s:
        yield _problem(
            "holds.storm_window_s",
            f"{holds.storm_window_s:g} < zookeeper.session_timeout_s {session_s:g} + "
            f"detection.late_after_s {policy.detection.late_after_s:g} = {least_s:g}: hosts that "
            "failed together would be convicted in different windows; raise it",
        )


def _fencing(policy: Policy) -> Iterator[Problem]:
    fencing, detection = policy.fencing, policy.detection
    look_s, gap_s = detection.look_timeout_s, detection.off_gap_s
    confirm_s = 2 * look_s + gap_s
    if fencing.confirm_timeout_s < confirm_s:
        yield _problem(
            "fencing.confirm_timeout_s",
            f"{fencing.confirm_timeout_s:g} < 2 × detection.look_timeout_s {look_s:g} + "
            f"detection.off_gap_s {gap_s:g} = {confirm_s:g}: a slow device could not be read Off "
            "twice in time; raise it",
        )
    yield from _kept("fencing.reread_period_s", fencing.reread_period_s, gap_s)
    fresh_s = fencing.reread_period_s + look_s
    if fencing.proof_fresh_s < fresh_s:
        yield _problem(
            "fencing.proof_fresh_s",
            f"{fencing.proof_fresh_s:g} < reread_period_s {fencing.reread_period_s:g} + "
            f"detection.look_timeout_s {look_s:g} = {fresh_s:g}: with a slow device guests would "
            "wait for a reading that is never fresh; raise it",
        )
    if fencing.operator_word_s <= READING_MAX_AGE_S:
        yield _problem(
            "fencing.operator_word_s",
            f"{fencing.operator_word_s:g} ≤ {READING_MAX_AGE_S:g}: a power reading of On counts "
            "for that long, and a word could end before it can become a proof; raise it",
        )
    if fencing.shot_deadline_s <= fencing.lease_s:
        yield _problem(
            "fencing.shot_deadline_s",
            f"{fencing.shot_deadline_s:g} ≤ lease_s {fencing.lease_s:g}: no device answers in "
            "that time; raise it",
        )


def _evacuation_and_return(policy: Policy) -> Iterator[Problem]:
    evacuation, recovery = policy.evacuation, policy.recovery
    for section, low, low_value, high, high_value in (
        (
            "evacuation",
            "in_flight_per_destination_max",
            evacuation.in_flight_per_destination_max,
            "in_flight_max",
            evacuation.in_flight_max,
        ),
        (
            "evacuation",
            "retry_after_s",
            evacuation.retry_after_s,
            "retry_after_max_s",
            evacuation.retry_after_max_s,
        ),
        (
            "recovery",
            "quarantine_s",
            recovery.quarantine_s,
            "quarantine_max_s",
            recovery.quarantine_max_s,
        ),
    ):
        if low_value > high_value:
            yield _problem(
                f"{section}.{low}",
                f"{low_value:g} > {high} {high_value:g}: the limit would never be reached; "
                "lower it, or raise the other",
            )
    for network in evacuation.ready_networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield _problem(
                "evacuation.ready_networks",
                f"{network!r} is no network ({error}); write it as 192.0.2.0/24",
            )


def _problem(key: str, why: str) -> Problem:
    return tuple(key.split(".")), why
