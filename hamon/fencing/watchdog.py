"""Watchdog time: when a convicted boot must have been reset by its own watchdog. Pure.

After the conviction of a boot committed at t_F, no guarded heartbeat of it commits. Then, with W
the time-out of its device (safety.md 4.1; docs/protocol.md, "The guarded heartbeat"):

1. One pet may still come: that of a heartbeat committed before. The pet before it was earlier than
   t_F, so it comes before t_F + W, or the device has fired.
2. The process may die after that. The kernel pets an armed device that is closed
   (``watchdog_release`` in drivers/watchdog/watchdog_dev.c), once more before the device fires:
   before t_F + 2·W.
3. Nobody pets it after that: a new process opens the device only after a heartbeat of its own. So
   it fires before t_F + 3·W.

safety.md 4.2 waits 2·W: its derivation does not know of 2.

It does not hold if somebody else pets: systemd's own use of the device (RuntimeWatchdogSec, and at
shutdown RebootWatchdogSec) has to be off. Nor if guests are resumed at boot.
"""

from __future__ import annotations

from hamon.model.host import WatchdogFacts

WATCHDOG = "watchdog"
"""The kind of fence device that nobody can be asked to shoot with: its host resets itself."""

PERIODS = 3
"""Time-outs from a conviction to the reset, at most; see above."""

DRIFT = 0.01
"""How much slower than the leader's clock the device's may run (safety.md 4.2: ρ)."""


def proof_time_s(facts: WatchdogFacts, *, margin_s: float, reset_latency_s: float) -> float:
    """Return after how long a convicted boot is over, in seconds.

    To be waited in full on the leader's own clock from the acknowledgement of the conviction that
    found ``facts`` in ``self``, at its exact version; anew by each new leader, who does not know
    when that was; never shortened.

    Args:
        facts: the watchdog of the boot that was convicted.
        margin_s: for what nobody thought of.
        reset_latency_s: from the device's firing until nothing runs on the host any more.
    """
    return PERIODS * facts.timeout_s * (1 + DRIFT) + reset_latency_s + margin_s


def unfit(facts: WatchdogFacts) -> str:
    """Say why these facts prove nothing, whatever time passes; empty: they do.

    A software watchdog is not unfit: its host's agent.toml accepted it by name, else the agent
    would not use it.
    """
    if not facts.nowayout:
        return "whoever opens it may disarm it: load its driver with nowayout=1"
    if facts.timeout_s <= 0:
        return f"its time-out of {facts.timeout_s:g} s makes no sense"
    if not 0 < facts.r_max_s < facts.timeout_s:
        return (
            f"its heartbeats may take {facts.r_max_s:g} s and its time-out is {facts.timeout_s:g} s"
        )
    return ""
