"""How a guests process does: handed to whoever shows it. No client library here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hamon.model.guest import GrantState
from hamon.model.host import DomainState


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPicture:
    """How a guests process does.

    ``round_s``: when it last read what it may do, on the clock of its ports; None: never.
    ``domains``, ``grants``: the state of each. ``failed``: by the name of the check, whether it
    fails.
    """

    round_s: float | None = None
    is_shut_out: bool = False
    is_shadow: bool = False
    is_libvirt_healthy: bool = False
    domains: tuple[DomainState, ...] = ()
    grants: tuple[GrantState, ...] = ()
    failed: Mapping[str, bool] = field(default_factory=dict)
