"""What the other controllers say of a host: who hears it, and how many hear its silence. Pure.

Rules:

1. A controller has a view of a plane only while it hears some host there; one that is cut off hears
   silence from everybody and says nothing.
2. A controller that hears the host on any plane is a sign of life, and one is enough: any answer
   where the host is silent to this controller, more than a kernel's where a kernel answers it.
3. Silence counts when as many controllers as must agree, or all there are, hear it on every plane.
"""

from __future__ import annotations

from dataclasses import dataclass

from hamon.model.reason import Reason, reason
from hamon.model.view import KERNEL_ONLY, ClusterView, ControllerView, HostView


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceViews:
    """Who else hears the silence; ``missing``: why that is not enough, None: it is."""

    seconded_by: tuple[str, ...] = ()
    missing: Reason | None = None


def heard_by_another(
    view: ClusterView, host: HostView, *, but_a_kernel: bool = False
) -> Reason | None:
    """Name another controller that hears the host on one of its planes; None: none says so.

    Args:
        view: the world.
        host: heard or not by this controller itself.
        but_a_kernel: a kernel alone does not count.
    """
    for other in _others(view):
        for plane, heard in sorted(other.heard.items()):
            is_kernel = but_a_kernel and host.name in other.heard.get(KERNEL_ONLY + plane, ())
            if host.name in heard and not plane.startswith(KERNEL_ONLY) and not is_kernel:
                return reason(
                    "heard_by_another", host.name, plane=plane, controller=other.controller
                )
    return None


def views_of_silence(
    view: ClusterView, host: HostView, silent_planes: frozenset[str], agree: int
) -> SilenceViews:
    """Count the controllers that hear the host's silence on every plane, with a view of each.

    Args:
        view: the world.
        host: heard by no other controller, as :func:`heard_by_another` tells.
        silent_planes: where this controller has heard its silence for long enough.
        agree: so many must agree, this one among them; fewer when fewer are registered.
    """
    me = view.controllers.get(view.own.controller)
    for plane in host.spec.planes:
        if plane.plane not in silent_planes:
            return SilenceViews(missing=reason("plane_not_heard", host.name, plane=plane.plane))
        if me is None or plane.plane not in me.reaches:
            return SilenceViews(missing=reason("own_plane_suspect", host.name, plane=plane.plane))
    agreeing = tuple(
        str(other.controller)
        for other in _others(view)
        if all(
            plane.plane in other.reaches and host.name in other.silent.get(plane.plane, ())
            for plane in host.spec.planes
        )
    )
    wanted = min(agree, max(1, len(view.controllers)))
    if 1 + len(agreeing) < wanted:
        why = reason("too_few_views", host.name, agree=1 + len(agreeing), wanted=wanted)
        return SilenceViews(seconded_by=agreeing, missing=why)
    return SilenceViews(seconded_by=agreeing)


def _others(view: ClusterView) -> list[ControllerView]:
    return [c for name, c in sorted(view.controllers.items()) if name != view.own.controller]
