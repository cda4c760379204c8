"""A program that runs on a machine of a lab, as data."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A program that the init of a machine starts, in the machine's namespaces.

    Attributes:
        name: what `python -m lab process` calls it.
        argv: the program and its arguments; it stays in the foreground.
        environment: added to a small fixed environment.
        stop_timeout_s: after SIGTERM, how long until SIGKILL; at most 60.
    """

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    stop_timeout_s: float = 5.0
