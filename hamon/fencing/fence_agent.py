"""Any program of the fence-agents collection as a fence device.

Rules (fence-agents.md 10):

1. An absolute path, no arguments, options on standard input, a minimal environment.
2. Only ``off``, ``on`` and ``status``; never ``reboot``, never ``cycle``.
3. Only keys that the program's own metadata knows: an unknown one would be ignored, and the program
   might then shoot another host; it would also be printed with its value.
4. A false boolean is left out: many programs look only whether it is there.
5. ``off`` with exit code 0 is an accepted order. Power is read apart: exit code 2 of ``status`` is
   Off, 0 is On, everything else is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from hamon.errors import ConfigError, FenceError, Outcome
from hamon.fencing.program import PATH, Ending, ProgramResult, order_outcome, run_program
from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power, PowerReading
from hamon.ports.clock import Clock
from hamon.ports.fencing import ShotResult

FORBIDDEN_OPTIONS = frozenset(
    {
        "action",  # hamon's, always
        "option",  # its old name
        "method",  # cycle claims success before the host is off
        "missing_as_off",  # turns a misspelt plug into "already off"
        "disable_timeout",
        "plug_separator",  # one device, one plug
        "separator",
        "nodename",  # ignored where it is not known
        "delay",  # a shot begins when its intent says, or not at all
        "debug",  # writes passwords to a file
        "debug_file",
        "verbose",
        "verbose_level",
        "password_script",  # runs through a shell
        "passwd_script",
        "version",
        "help",
    }
)
"""What an operator may not set."""

PLUG_OPTIONS = ("plug", "port")
_SECRET_WORDS = ("passw", "secret", "token", "community", "hexadecimal_kg")
_FALSE = frozenset({"", "0", "no", "off", "false"})
_METADATA_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMetadata:
    """The options a program knows, and which of them are booleans."""

    options: frozenset[str]
    booleans: frozenset[str]

    def first_known(self, *names: str) -> str:
        """Return the first of ``names`` that the program knows, "" if none."""
        return next((name for name in names if name in self.options), "")


async def read_metadata(program: str, clock: Clock) -> AgentMetadata:
    """Ask a program for its metadata. Touches no device; idempotent.

    Args:
        program: its absolute path.
        clock: CLOCK_BOOTTIME.

    Raises:
        FenceError: the program is missing, fails, or does not print what it should.
    """
    answer = await run_program(
        (program,),
        environment=_ENVIRONMENT,
        text="action=metadata\n",
        start_by_s=clock.now_s() + _METADATA_WITHIN_S,
        kill_after_s=_METADATA_WITHIN_S,
    )
    if not answer.is_success:
        raise FenceError("power", "metadata", program, Outcome.NOT_DONE, answer.detail())
    try:
        # The program runs with hamon's own rights anyway; its XML is no further risk.
        root = ET.fromstring(answer.stdout)  # noqa: S314
    except ET.ParseError as error:
        raise FenceError("power", "metadata", program, Outcome.NOT_DONE, str(error)) from error
    parameters = root.findall("./parameters/parameter")
    if root.tag != "resource-agent" or not parameters:
        raise FenceError("power", "metadata", program, Outcome.NOT_DONE, "names no parameters")
    return AgentMetadata(
        options=frozenset(_spelt(p.get("name", "")) for p in parameters),
        booleans=frozenset(
            _spelt(p.get("name", ""))
            for p in parameters
            if p.find("./content[@type='boolean']") is not None
        ),
    )


def agent_options(spec: FenceDeviceSpec, metadata: AgentMetadata) -> dict[str, str]:
    """Work out what a device's program is sent, without action and password.

    Raises:
        ValueError: an option is forbidden, secret, unknown to the program, or no single line; the
            message names it and says what to do.
    """
    options: dict[str, str] = {}
    for given, value in spec.options.items():
        name = _spelt(given)
        if name in FORBIDDEN_OPTIONS:
            raise ValueError(f"option {given} is hamon's own or unsafe; take it out")
        if any(word in name for word in _SECRET_WORDS):
            raise ValueError(f"option {given} holds a secret; only password_file may")
        if name not in metadata.options:
            raise ValueError(f"{spec.agent} knows no option {given}; see its metadata")
        if not value.isprintable():
            raise ValueError(f"option {given} must be one line of printable text")
        if name in PLUG_OPTIONS and "," in value:
            raise ValueError(f"option {given} names several plugs; configure one device for each")
        if name not in metadata.booleans:
            options[name] = value
        elif value.strip().lower() not in _FALSE:
            options[name] = "1"
    for value, names in (
        (spec.address, ("ip", "ipaddr")),
        (spec.username, ("username", "login")),
        (str(spec.port or ""), ("ipport",)),
    ):
        if value and not options.keys() & set(names):
            name = metadata.first_known(*names)
            if not name:
                raise ValueError(f"{spec.agent} takes no {names[0]}; take it out")
            options[name] = value
    if spec.password_file and not metadata.first_known("password", "passwd"):
        raise ValueError(f"{spec.agent} takes no password; take password_file out")
    return options


class FenceAgentDevice:
    """One device behind a fence-agents program (implements ``ports.FenceDevice``).

    Args:
        spec: the device.
        program: absolute path of its program.
        metadata: of that program.
        password: reads the password, "" for none; called for every action. Raises nothing but
            ConfigError.
        clock: CLOCK_BOOTTIME.

    Raises:
        ValueError: see :func:`agent_options`.
    """

    def __init__(
        self,
        spec: FenceDeviceSpec,
        program: str,
        metadata: AgentMetadata,
        password: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._program = program
        self._options = agent_options(spec, metadata)
        self._password_option = metadata.first_known("password", "passwd")
        self._password = password
        self._clock = clock

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        return self._spec

    async def read(self, timeout_s: float) -> PowerReading:
        """Run ``status``; see ``ports.FenceDevice``. A program cannot say for whom it answers."""
        asked_s = self._clock.now_s()
        power, detail = Power.UNKNOWN, ""
        try:
            password = self._password()
        except ConfigError as error:
            detail = str(error)
        else:
            answer = await self._run("status", password, asked_s + timeout_s, timeout_s)
            power = _power(answer)
            detail = answer.detail(password) if power is Power.UNKNOWN else ""
        return PowerReading(
            device=self._spec.name,
            power=power,
            identity="",
            asked_s=asked_s,
            observed_s=self._clock.now_s(),
            detail=detail,
        )

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Run ``off``; see ``ports.FenceDevice``. Already off is DONE."""
        return await self._order("off", start_by_s, deadline_s)

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Run ``on``; see ``ports.FenceDevice``. Already on is DONE."""
        return await self._order("on", start_by_s, deadline_s)

    async def _order(self, action: str, start_by_s: float, deadline_s: float) -> ShotResult:
        try:
            password = self._password()
        except ConfigError as error:
            return ShotResult(outcome=ShotOutcome.NOT_DONE, detail=str(error))
        answer = await self._run(action, password, start_by_s, deadline_s)
        # A failure is UNKNOWN: it may have come after the order.
        ended = ShotOutcome.DONE if answer.is_success else ShotOutcome.UNKNOWN
        return ShotResult(outcome=order_outcome(answer, ended), detail=answer.detail(password))

    async def _run(
        self, action: str, password: str, start_by_s: float, deadline_s: float
    ) -> ProgramResult:
        secret = {self._password_option: password} if password else {}
        return await run_program(
            (self._program,),
            environment=_ENVIRONMENT,
            text=_lines({**self._options, **secret, "action": action}),
            start_by_s=start_by_s,
            kill_after_s=deadline_s,
        )


_ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C"}
"""Never PCMK_service: it takes all of a program's own time-outs away."""


def _spelt(name: str) -> str:
    """Return an option's name as stdin and metadata spell it; ``-`` and ``_`` mean the same."""
    return name.strip().lower().replace("-", "_")


def _lines(options: Mapping[str, str]) -> str:
    """Write options as the programs read them: blanks at the ends survive in quotes only."""
    return "".join(
        f'{name}="{value}"\n' if value != value.strip(' "') else f"{name}={value}\n"
        for name, value in options.items()
    )


def _power(answer: ProgramResult) -> Power:
    """Translate the exit code of ``status``.

    safety: 2 is also how shells and interpreters end that could not read a broken program. They
    complain on stderr and print no status; such an answer is no Off.
    """
    if answer.ending is not Ending.ENDED:
        return Power.UNKNOWN
    match answer.code:
        case 0:
            return Power.ON
        case 2 if "off" in answer.stdout.lower() or not answer.stderr.strip():
            return Power.OFF
        case _:
            return Power.UNKNOWN
