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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
_OWN_KEYS = {
    "ip": "address",
    "ipaddr": "address",
    "ipport": "port",
    "username": "username",
    "login": "username",
    "password": "password_file",
    "passwd": "password_file",
}
"""What the configuration calls what the programs call otherwise."""

_FALSE = frozenset({"", "0", "no", "off", "false"})
_METADATA_WITHIN_S = 10.0
_VALIDATED_WITHIN_S = 10.0
_VALIDATE = "validate-all"
_TARGETS = frozenset({"plug", "port", "ip", "ipaddr", "systems_uri"})
"""What tells one host's device from another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMetadata:
    """What a program says of its options and actions.

    ``required``: without which it does not work, by their present names. ``choices``: the values
    that an option may have, where they are few. ``renamed``: present names by former ones.
    ``actions``: empty when the program lists none.
    """

    options: frozenset[str]
    booleans: frozenset[str]
    required: frozenset[str] = frozenset()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    actions: frozenset[str] = frozenset()

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
    return _metadata(parameters, root.findall("./actions/action"))


def _metadata(parameters: Sequence[ET.Element], actions: Sequence[ET.Element]) -> AgentMetadata:
    named = {_spelt(p.get("name", "")): p for p in parameters}
    renamed = {
        _spelt(old): name for name, p in named.items() if (old := p.get("obsoletes")) is not None
    }
    contents = {name: p.find("./content") for name, p in named.items()}
    return AgentMetadata(
        options=frozenset(named),
        booleans=frozenset(
            name
            for name, content in contents.items()
            if content is not None and content.get("type") == "boolean"
        ),
        required=frozenset(
            renamed.get(name, name)
            for name, p in named.items()
            # What has a default is required only in name.
            if p.get("required") == "1" and p.find("./content[@default]") is None
        ),
        choices={
            name: tuple(option.get("value", "") for option in content.findall("./option"))
            for name, content in contents.items()
            if content is not None and content.get("type") == "select"
        },
        renamed=renamed,
        actions=frozenset(action.get("name", "") for action in actions),
    )


def agent_options(spec: FenceDeviceSpec, metadata: AgentMetadata) -> dict[str, str]:
    """Work out what a device's program is sent, without action and password.

    Raises:
        ValueError: an option is forbidden, secret, unknown to the program, no single line, none of
            its choices, or missing; or the program cannot tell Off. The message names it and says
            what to do.
    """
    for action in ("off", "status"):
        if metadata.actions and action not in metadata.actions:
            raise ValueError(f"{spec.agent} has no action {action}: it can prove nothing")
    options = _configured(spec, metadata)
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
    _check_required(spec, options, metadata)
    return options


def _configured(spec: FenceDeviceSpec, metadata: AgentMetadata) -> dict[str, str]:
    """Check what the operator wrote below ``options``, and spell it as the program reads it."""
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
        _check_choice(given, value, metadata.choices.get(name, ()))
        if name not in metadata.booleans:
            options[name] = value
        elif value.strip().lower() not in _FALSE:
            options[name] = "1"
    return options


def _check_choice(given: str, value: str, choices: Sequence[str]) -> None:
    # The programs do not tell upper from lower case either.
    if choices and value.lower() not in {choice.lower() for choice in choices}:
        raise ValueError(f"option {given} is {value!r}; it may be {', '.join(choices)}")


def _check_required(
    spec: FenceDeviceSpec, options: Mapping[str, str], metadata: AgentMetadata
) -> None:
    sent = {"action", *options}
    if spec.password_file:
        sent.add(metadata.first_known("password", "passwd"))
    missing = metadata.required - {metadata.renamed.get(name, name) for name in sent}
    if missing:
        names = ", ".join(sorted(_OWN_KEYS.get(name, f"options.{name}") for name in missing))
        raise ValueError(f"{spec.agent} does not work without {names}; set it")


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
        self._metadata = metadata
        self._options = agent_options(spec, metadata)
        self._password_option = metadata.first_known("password", "passwd")
        self._password = password
        self._clock = clock

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        return self._spec

    @property
    def look(self) -> tuple[tuple[str, str], ...]:
        """What its program is sent, apart from what tells one host from another.

        Devices that look alike are right or wrong together: one :meth:`validate` is enough.
        """
        sent = {**self._options, "password": "set" if self._spec.password_file else ""}
        return tuple(sorted((key, "" if key in _TARGETS else sent[key]) for key in sent))

    async def validate(self) -> bool:
        """Have the program judge its options (``validate-all``). Idempotent; changes nothing.

        Returns:
            Whether it did. It may not offer that; and one that hangs, or that cannot be run now,
            judged nothing: a busy machine must not keep hamon from starting.

        Raises:
            ValueError: the program finds fault with its options; the message has its words without
                the password.
            ConfigError: the password cannot be read.
        """
        if _VALIDATE not in self._metadata.actions:
            return False
        password = self._password()
        start_by_s = self._clock.now_s() + _VALIDATED_WITHIN_S
        answer = await self._run(_VALIDATE, password, start_by_s, _VALIDATED_WITHIN_S)
        if answer.ending is Ending.ENDED and not answer.is_success:
            said = answer.detail(password)
            raise ValueError(f"{self._spec.agent} refuses its options ({_VALIDATE}): {said}")
        return answer.is_success

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
