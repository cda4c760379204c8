"""What reaches a fence device's command line, and in which order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from hamon.clock import SystemClock
from hamon.errors import ConfigError, FenceError
from hamon.fencing.devices import DeviceBuilder, TakingTurns, Turns
from hamon.fencing.fence_agent import AgentMetadata, FenceAgentDevice, agent_options, read_metadata
from hamon.fencing.program import Ending, ProgramResult
from hamon.model.host import FenceDeviceSpec, HostSpec
from hamon.model.incident import ShotOutcome
from hamon.model.names import host_name
from hamon.model.proof import Power, PowerReading
from hamon.ports.fencing import ShotResult
from hamon.settings.secrets import Password

CLOCK = SystemClock()
WITHIN_S = 10.0
METADATA = AgentMetadata(
    options=frozenset(
        {"action", "method", "plug", "ip", "ipport", "username", "password", "ssl_insecure"}
    ),
    booleans=frozenset({"ssl_insecure"}),
)


def an_agent(**options: str) -> FenceDeviceSpec:
    """A fence-agents device."""
    return FenceDeviceSpec(
        name="strip",
        level=1,
        kind="agent",
        address="192.0.2.7",
        port=0,
        username="hamon",
        agent="fence_rig",
        options=options,
    )


def a_bmc(folder: Path, **changes: object) -> FenceDeviceSpec:
    """A well configured BMC, but for the changes."""
    password = folder / "password"
    if not password.exists():
        password.write_text("secret-of-bmc\n")
        password.chmod(0o400)
    known: dict[str, object] = {
        "name": "bmc",
        "level": 1,
        "kind": "ipmi",
        "address": "192.0.2.7",
        "username": "hamon",
        "password_file": str(password),
    }
    return FenceDeviceSpec(**(known | changes))  # type: ignore[arg-type]


def a_host(*devices: FenceDeviceSpec) -> HostSpec:
    """A host with these devices."""
    return HostSpec(name=host_name("host-1"), planes=(), fence=devices)


# -- options of fence-agents programs ------------------------------------------------------------


def test_agent_options__well_configured__are_what_is_sent() -> None:
    """Address and user name go under the program's own names; a dash is an underscore."""
    options = agent_options(an_agent(plug="7", **{"ssl-insecure": "yes"}), METADATA)

    assert {"plug": "7", "ip": "192.0.2.7", "username": "hamon", "ssl_insecure": "1"} == options


@pytest.mark.parametrize("value", ["0", "no", "off", "False", ""])
def test_agent_options__false_boolean__is_left_out(value: str) -> None:
    """Many programs look only whether a boolean is there: ssl_insecure=0 would mean insecure."""
    options = agent_options(an_agent(ssl_insecure=value), METADATA)

    assert "ssl_insecure" not in options


@pytest.mark.parametrize(
    "options",
    [
        {"action": "reboot"},
        {"method": "cycle"},
        {"missing_as_off": "1"},
        {"missing-as-off": "1"},
        {"MISSING_AS_OFF": "1"},
        {"disable_timeout": "1"},
        {"plug_separator": ";"},
        {"password_script": "/bin/true"},
        {"passwd": "inline"},
        {"snmp_community": "inline"},
        {"plgu": "7"},
        {"plug": "7,8"},
        {"plug": "7\naction=reboot"},
    ],
)
def test_agent_options__unsafe_or_unknown__are_refused(options: dict[str, str]) -> None:
    """What could shoot another host, claim success, or leak a secret is not sent."""
    with pytest.raises(ValueError, match="option"):
        agent_options(an_agent(**options), METADATA)


async def test_read_metadata__required_choices_and_old_names__are_understood(
    tmp_path: Path,
) -> None:
    """An old name stands for the new one, and what has a default may be left out."""
    metadata = await read_metadata(str(a_program(tmp_path, "")), CLOCK)

    assert {"username", "kind"} == metadata.required
    assert {"snmp_version": ("1", "2c")} == metadata.choices
    assert {"login": "username"} == metadata.renamed
    assert {"off", "status", "validate-all"} == metadata.actions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "a", "snmp_version": "3"}, "option snmp_version is '3'; it may be 1, 2c"),
        ({}, "does not work without options.kind"),
    ],
)
async def test_agent_options__impossible_or_missing__are_refused(
    tmp_path: Path, options: dict[str, str], words: str
) -> None:
    """What the program would only find out at the first shot is found at start."""
    metadata = await read_metadata(str(a_program(tmp_path, "")), CLOCK)

    with pytest.raises(ValueError, match=words):
        agent_options(replace(an_agent(**options), address=""), metadata)


async def test_agent_options__no_username__names_the_key_to_set(tmp_path: Path) -> None:
    """The operator knows hamon's keys, not the program's."""
    metadata = await read_metadata(str(a_program(tmp_path, "")), CLOCK)
    spec = replace(an_agent(kind="a"), address="", username="")

    with pytest.raises(ValueError, match="does not work without username"):
        agent_options(spec, metadata)


async def test_agent_options__under_the_old_name_and_in_capitals__are_accepted(
    tmp_path: Path,
) -> None:
    """The programs take both."""
    metadata = await read_metadata(str(a_program(tmp_path, "")), CLOCK)
    spec = replace(an_agent(login="me", kind="a", snmp_version="2C"), address="", username="")

    assert {"login": "me", "kind": "a", "snmp_version": "2C"} == agent_options(spec, metadata)


@pytest.mark.parametrize("lacks", ["off", "status"])
def test_agent_options__program_that_proves_nothing__is_refused(lacks: str) -> None:
    """Without off nothing is cut, without status nothing is read back."""
    actions = frozenset({"on", "off", "status"}) - {lacks}

    with pytest.raises(ValueError, match=f"no action {lacks}"):
        agent_options(an_agent(plug="7"), replace(METADATA, actions=actions))


def a_program(folder: Path, body: str) -> Path:
    """A program with metadata; ``body`` is what it does with any other action."""
    program = folder / "fence_rig"
    program.write_text(PROGRAM.format(folder=folder, body=body))
    program.chmod(0o755)
    return program


PROGRAM = """\
#!/bin/sh
given=$(cat)
case "$given" in *action=metadata*)
    cat <<END
<resource-agent><parameters>
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="login" required="1" deprecated="1"><content type="string"/></parameter>
<parameter name="username" required="1" obsoletes="login"><content type="string"/></parameter>
<parameter name="password"><content type="string"/></parameter>
<parameter name="plug"><content type="string"/></parameter>
<parameter name="kind" required="1"><content type="string"/></parameter>
<parameter name="shape" required="1"><content type="string" default="round"/></parameter>
<parameter name="snmp_version">
<content type="select"><option value="1"/><option value="2c"/></content>
</parameter></parameters>
<actions><action name="off"/><action name="status"/><action name="validate-all"/></actions>
</resource-agent>
END
    exit 0 ;;
esac
echo "$given" >> {folder}/asked
{body}
"""


async def test_build__program_refuses_its_options__is_a_configuration_error(
    tmp_path: Path,
) -> None:
    """Its words are passed on, without the password."""
    program = a_program(tmp_path, 'echo "bad: $given" >&2; exit 1')
    spec = a_validated(tmp_path, program)

    with pytest.raises(ConfigError, match=r"refuses its options .*action=validate-all") as caught:
        await DeviceBuilder(CLOCK).build(a_host(spec))

    assert "host-1" in str(caught.value)
    assert "password=[redacted]" in str(caught.value)
    assert "secret-of-bmc" not in str(caught.value)


async def test_build__hosts_that_differ_in_the_plug__are_judged_once(tmp_path: Path) -> None:
    """A thousand outlets of one kind do not delay the start by a thousand programs."""
    program = a_program(tmp_path, "exit 0")
    builder = DeviceBuilder(CLOCK)

    for options in ({"plug": "1"}, {"plug": "2"}, {"plug": "3", "snmp_version": "1"}):
        await builder.build(a_host(a_validated(tmp_path, program, **options)))

    assert 2 == (tmp_path / "asked").read_text().count("action=validate-all")


async def test_build__program_judges_nothing__is_used(tmp_path: Path) -> None:
    """A program that breaks down instead of judging found no fault; hamon starts."""
    program = a_program(tmp_path, "kill -KILL $PPID; sleep 60")

    (device,) = await DeviceBuilder(CLOCK).build(a_host(a_validated(tmp_path, program)))

    assert "strip" == device.spec.name


def a_validated(folder: Path, program: Path, **options: str) -> FenceDeviceSpec:
    """A device of :data:`PROGRAM` with everything it requires."""
    return replace(
        an_agent(kind="a", **options),
        address="",
        agent=str(program),
        password_file=a_bmc(folder).password_file,
    )


async def test_fence_agent__password_with_blanks__arrives_whole(tmp_path: Path) -> None:
    """The programs strip lines and one pair of quotes; a password survives both."""
    program = tmp_path / "fence_rig"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/got\nexit 2\n")
    program.chmod(0o755)
    device = FenceAgentDevice(an_agent(), str(program), METADATA, lambda: ' "a b" ', CLOCK)

    await device.read(WITHIN_S)

    assert 'password=" "a b" "' in (tmp_path / "got").read_text().splitlines()
    assert "action=status" in (tmp_path / "got").read_text().splitlines()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo Status: OFF; exit 2", Power.OFF),
        ("exit 2", Power.OFF),
        ("echo Status: OFF; echo old python >&2; exit 2", Power.OFF),
        ("echo no such file >&2; exit 2", Power.UNKNOWN),
        ("if", Power.UNKNOWN),
        ("exit 0", Power.ON),
        ("exit 1", Power.UNKNOWN),
        ("kill -KILL $$", Power.UNKNOWN),
    ],
)
async def test_fence_agent__status__only_a_clean_two_is_off(
    tmp_path: Path, script: str, expected: Power
) -> None:
    """A broken program that a shell ends with 2 did not say Off."""
    program = tmp_path / "fence_rig"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    device = FenceAgentDevice(an_agent(), str(program), METADATA, lambda: "", CLOCK)

    assert expected == (await device.read(WITHIN_S)).power


@pytest.mark.parametrize("words", ["", "<html/>", "<resource-agent/>", "<resource-agent"])
async def test_read_metadata__no_metadata__is_refused(tmp_path: Path, words: str) -> None:
    """A program that does not tell its options is not sent any."""
    program = tmp_path / "fence_rig"
    program.write_text(f"#!/bin/sh\necho '{words}'\n")
    program.chmod(0o755)

    with pytest.raises(FenceError):
        await read_metadata(str(program), CLOCK)


def test_detail__holds_a_secret__is_cleaned_and_short() -> None:
    """What a program printed is kept as one bounded, printable line without secrets (S18)."""
    result = ProgramResult(
        ending=Ending.ENDED, code=1, stderr="bad\noption pasword=x7\x1b[2J" + "y" * 10_000
    )

    detail = result.detail("x7")

    assert detail.startswith("exit 1: bad option pasword=[redacted]?[2Jyyy")
    assert len(detail) < 400


# -- what the builder refuses --------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "bmc.example.org"},
        {"address": "-oProxyCommand=x"},
        {"username": "-x"},
        {"username": "a b"},
        {"username": ""},
        {"password_file": ""},
        {"password_file": "/nonexistent"},
        {"kind": "redfish", "system": ""},
        {"kind": "redfish", "system": "/redfish/v1/Systems/1", "username": ""},
        {"kind": "redfish", "system": "/redfish/v1/Systems/1", "ca_file": "/etc/passwd"},
        {"kind": "redfish", "system": "/redfish/v1/Systems/1", "address": "bmc.example.org"},
        {"kind": "storage", "program": ""},
        {"kind": "storage", "program": "/etc/passwd"},
        {"kind": "telepathy"},
        {"kind": "agent", "agent": "fence_nothing_like_this"},
        {"kind": "agent", "agent": "fence_idrac"},
    ],
)
async def test_build__unusable_device__is_a_configuration_error(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """A device that could not be used, or only unsafely, is refused before it is needed."""
    with pytest.raises(ConfigError):
        await DeviceBuilder(CLOCK).build(a_host(a_bmc(tmp_path, **changes)))


async def test_build__password_too_long_for_ipmi__is_a_configuration_error(tmp_path: Path) -> None:
    """IPMI 2.0 takes 20 bytes; better known now than at the first shot."""
    (tmp_path / "password").write_text("x" * 21)
    (tmp_path / "password").chmod(0o400)

    with pytest.raises(ConfigError, match="20 bytes"):
        await DeviceBuilder(CLOCK).build(a_host(a_bmc(tmp_path)))


def test_password__rotated_and_then_broken__keeps_the_last_good(tmp_path: Path) -> None:
    """A rotation counts at once; one that went wrong does not take fencing away (S22)."""
    path = tmp_path / "password"
    path.write_text("first-one")
    path.chmod(0o600)
    password = Password(str(path))
    first = password()
    path.write_text("second-one\n")
    second = password()
    path.chmod(0o644)

    assert ("first-one", "second-one", "second-one") == (first, second, password())


# -- turns ---------------------------------------------------------------------------------------


class HandDevice:
    """A device whose answers the test gives by hand, and which tells what happens at it."""

    def __init__(self) -> None:
        self.spec = an_agent()
        self.events: list[str] = []
        self.answered = asyncio.Event()

    async def read(self, timeout_s: float) -> PowerReading:
        """Wait for the test."""
        await self._act("read")
        return PowerReading(device="strip", power=Power.ON, identity="", asked_s=0, observed_s=0)

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Wait for the test."""
        await self._act("order")
        return ShotResult(outcome=ShotOutcome.DONE)

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Wait for the test."""
        await self._act("power on")
        return ShotResult(outcome=ShotOutcome.DONE)

    async def _act(self, name: str) -> None:
        self.events.append(f"{name} begins")
        try:
            await self.answered.wait()
        except asyncio.CancelledError:
            self.events.append(f"{name} broken off")
            raise
        self.events.append(f"{name} ends")

    async def until(self, count: int) -> None:
        """Wait until this many things happened."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.events) < count:  # noqa: ASYNC110  an event for each is more to read
                await asyncio.sleep(0)


async def test_turns__two_reads__one_after_the_other() -> None:
    """A device is asked one thing at a time."""
    device = HandDevice()
    turns = TakingTurns(device, Turns(), asyncio.Semaphore(), CLOCK)
    reads = asyncio.gather(turns.read(WITHIN_S), turns.read(WITHIN_S))
    await device.until(1)

    device.answered.set()
    await reads

    assert ["read begins", "read ends"] * 2 == device.events


async def test_turns__order_during_a_read__goes_first() -> None:
    """A shot must start within its lease; a read can be repeated."""
    device = HandDevice()
    turns = TakingTurns(device, Turns(), asyncio.Semaphore(), CLOCK)
    reads = [asyncio.create_task(turns.read(WITHIN_S)) for _ in range(2)]
    await device.until(1)

    order = asyncio.create_task(turns.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S))
    await device.until(3)
    device.answered.set()

    assert ShotOutcome.DONE == (await order).outcome
    assert [Power.UNKNOWN, Power.ON] == [(await read).power for read in reads]
    assert [
        "read begins",
        "read broken off",
        "order begins",
        "order ends",
        "read begins",
        "read ends",
    ] == device.events


async def test_turns__order_behind_an_order__is_late_when_its_lease_ends() -> None:
    """Two dead hosts on one strip: the second order was never given, and no device has failed."""
    device = HandDevice()
    turns = TakingTurns(device, Turns(), asyncio.Semaphore(), CLOCK)
    first = asyncio.create_task(turns.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S))
    await device.until(1)

    second = await turns.cut_power(CLOCK.now_s() + 0.05, WITHIN_S)
    device.answered.set()

    assert (ShotOutcome.LATE, ShotOutcome.DONE) == (second.outcome, (await first).outcome)
    assert ["order begins", "order ends"] == device.events


async def test_turns__order_whose_lease_is_over__is_late_and_never_given() -> None:
    """A controller that was paused between the journal and the device says what it was."""
    device = HandDevice()
    turns = TakingTurns(device, Turns(), asyncio.Semaphore(), CLOCK)
    device.answered.set()

    ordered = await turns.cut_power(CLOCK.now_s() - 0.001, WITHIN_S)

    assert ShotOutcome.LATE is ordered.outcome
    assert [] == device.events


async def test_turns__many_are_read_already__the_next_waits_and_an_order_does_not() -> None:
    """Reads of many hosts are bounded; nobody's order stands in that line."""
    crowd, device = asyncio.Semaphore(1), HandDevice()
    busy = TakingTurns(device, Turns(), crowd, CLOCK)
    other = TakingTurns(HandDevice(), Turns(), crowd, CLOCK)
    shot = HandDevice()
    shot.answered.set()
    first = asyncio.create_task(busy.read(WITHIN_S))
    await device.until(1)

    second = await other.read(0.05)
    ordered = await TakingTurns(shot, Turns(), crowd, CLOCK).cut_power(
        CLOCK.now_s() + WITHIN_S, WITHIN_S
    )

    assert (Power.UNKNOWN, ShotOutcome.DONE) == (second.power, ordered.outcome)
    device.answered.set()
    await first


async def test_turns__power_on__is_an_order_like_the_other() -> None:
    """It goes before a read, and is given within its lease or not at all."""
    device = HandDevice()
    turns = TakingTurns(device, Turns(), asyncio.Semaphore(), CLOCK)
    read = asyncio.create_task(turns.read(WITHIN_S))
    await device.until(1)

    late = await turns.power_on(CLOCK.now_s() - 0.001, WITHIN_S)
    order = asyncio.create_task(turns.power_on(CLOCK.now_s() + WITHIN_S, WITHIN_S))
    await device.until(3)
    device.answered.set()

    assert (ShotOutcome.LATE, ShotOutcome.DONE) == (late.outcome, (await order).outcome)
    assert Power.UNKNOWN is (await read).power
    assert ["read begins", "read broken off", "power on begins"] == device.events[:3]


async def test_turns__read_given_up__frees_the_device() -> None:
    """A caller that goes away takes its read along and blocks nobody."""
    device = HandDevice()
    turns = TakingTurns(device, Turns(), asyncio.Semaphore(), CLOCK)
    given_up = asyncio.create_task(turns.read(WITHIN_S))
    await device.until(1)

    given_up.cancel()
    device.answered.set()
    reading = await turns.read(WITHIN_S)

    assert Power.ON == reading.power
    assert ["read begins", "read broken off", "read begins", "read ends"] == device.events


async def test_turns__busy_for_too_long__reads_unknown() -> None:
    """A read that never got its turn knows nothing."""
    device = HandDevice()
    turns = TakingTurns(device, Turns(), asyncio.Semaphore(), CLOCK)
    first = asyncio.create_task(turns.read(WITHIN_S))
    await device.until(1)

    second = await turns.read(0.05)
    device.answered.set()

    assert (Power.UNKNOWN, Power.ON) == (second.power, (await first).power)
