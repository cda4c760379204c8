"""What is known of a host without an agent: Nova's word, and whether anything answers there. Pure.

Rules:

1. Nova's word that its nova-compute is down is not death: it may be cut off from Nova only. It is
   told, and nothing follows from it by itself.
2. Nova calls a service up for a minute after its last heartbeat, and a service that is forced down
   never: there the heartbeat itself counts.
3. Its planes tell no boot. Whatever answers is life, also a kernel that refuses a connection; where
   no probe could be made nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hamon.detector.verdict import fresh_probes
from hamon.model.policy import DetectionPolicy
from hamon.model.proof import Vote
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView

NOVA_FRESH_S = 30.0
"""A list of services older than this says nothing; when all is calm one is read every 10 s."""

BEAT_FRESH_S = 45.0
"""A heartbeat younger than this is life: one comes every 10 s, and a list shows it 10 s later."""


class Word(StrEnum):
    """What Nova says of a compute service."""

    UP = "up"
    DOWN = "down"
    FORCED_DOWN = "forced down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaWord:
    """Nova's word, ``why`` it is UNKNOWN, and the last heartbeat, in Nova's clock."""

    word: Word
    why: str = ""
    beat_at: str = ""


def nova_word(view: ClusterView, host: HostView, now_s: float) -> NovaWord:
    """Return what Nova says of a host's compute service."""
    cloud = view.cloud
    if cloud is None or cloud.services_s is None:
        return NovaWord(word=Word.UNKNOWN, why="Nova has not been read yet")
    service = cloud.services.get(host.service_host)
    if service is None:
        return NovaWord(word=Word.UNKNOWN, why=f"Nova has no nova-compute {host.service_host}")
    age_s = now_s - cloud.services_s
    if age_s > NOVA_FRESH_S:
        return NovaWord(
            word=Word.UNKNOWN, why=f"Nova was last read {age_s:.0f} s ago", beat_at=service.beat_at
        )
    if service.is_up is None:
        return NovaWord(word=Word.UNKNOWN, why="its cell is down", beat_at=service.beat_at)
    if service.is_forced_down:
        return NovaWord(word=Word.FORCED_DOWN, beat_at=service.beat_at)
    return NovaWord(word=Word.UP if service.is_up else Word.DOWN, beat_at=service.beat_at)


def sign_of_life(
    view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float
) -> Reason | None:
    """Name what shows that the host lives, by whoever; None: nothing does now."""
    if host.heartbeat is not None:
        return _alive(host, "a session of an agent")
    for vote in fresh_probes(host, policy, now_s):
        if vote.vote in {Vote.ALIVE_STRONG, Vote.ALIVE_WEAK}:
            return _alive(host, f"plane {vote.subject}", vote.detail)
    word = nova_word(view, host, now_s)
    if word.word is Word.UP:
        return _alive(host, "Nova", "it calls its nova-compute up")
    beat_s = view.cloud.beats_s.get(host.service_host) if view.cloud is not None else None
    if beat_s is not None and now_s - beat_s <= BEAT_FRESH_S:
        return _alive(
            host, "Nova", f"a heartbeat of its nova-compute in the last {BEAT_FRESH_S:.0f} s"
        )
    return None


def not_known(
    view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float
) -> Reason | None:
    """Name what would have to be known before a person may give the host up; None: all is."""
    word = nova_word(view, host, now_s)
    if word.word is Word.UNKNOWN:
        return reason("agentless_unknown", host.name, why=word.why)
    if not fresh_probes(host, policy, now_s):
        return reason("agentless_unknown", host.name, why="no probe of its planes could be made")
    return None


def _alive(host: HostView, by: str, detail: str = "") -> Reason:
    return reason("agentless_alive", host.name, by=by, detail=detail)
