"""How Nova is spoken to: as whom, page by page, and never later than an order may be sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import novaclient.exceptions
import pytest

from hamon.backends.nova.cloud import NovaCloud
from hamon.backends.nova.connection import translated
from hamon.errors import CloudUnavailableError, Outcome
from hamon.model.cloud import Image, Progress
from hamon.model.names import guest_id
from hamon.settings.values import (
    ApplicationCredential,
    CloudEntry,
    NovaSettings,
    PasswordLogin,
)
from tests.unit.nova_api import NovaApi

GUEST = guest_id("00000000-0000-4000-8000-000000000001")
Connect = Callable[..., NovaCloud]


class StoppedClock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def now_s(self) -> float:
        """See ``ports.Clock``."""
        return self.at_s

    def wall(self) -> str:
        """See ``ports.Clock``."""
        return "2026-11-22T00:00:00.000Z"

    async def sleep(self, duration_s: float) -> None:
        """See ``ports.Clock``."""
        self.at_s += duration_s


@pytest.fixture
def api() -> Iterator[NovaApi]:
    """A keystone and a Nova."""
    server = NovaApi()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def clock() -> StoppedClock:
    """The machine's clock."""
    return StoppedClock()


@pytest.fixture
def connect(api: NovaApi, clock: StoppedClock, tmp_path: Path) -> Iterator[Connect]:
    """Make clients of the API; with a password unless another login is given."""
    secret = tmp_path / "secret"
    secret.write_text("correct horse")
    secret.chmod(0o400)
    login = PasswordLogin(
        auth_url=f"{api.url}/v3", username="hamon", password_file=secret, project="service"
    )
    made: list[NovaCloud] = []

    def connector(**given: Any) -> NovaCloud:  # noqa: ANN401 - any setting
        settings: dict[str, Any] = {"login": login, "region": "north", **given}
        made.append(NovaCloud(NovaSettings(**settings), clock))
        return made[-1]

    yield connector
    for cloud in made:
        cloud.close()


def orders(api: NovaApi) -> list[Any]:
    """What Nova was told to do, in order."""
    return [one.body for one in api.asked if one.place != "v3" and one.body is not None]


async def test_login__password__names_user_and_project(api: NovaApi, connect: Connect) -> None:
    """And Nova is found where the catalog has it, in the region and on the interface given."""
    await connect(interface="admin").migrations(host="h1")

    [token] = [one.body["auth"] for one in api.asked if one.method == "POST"]
    user = {"name": "hamon", "domain": {"name": "Default"}, "password": "correct horse"}
    project = {"name": "service", "domain": {"name": "Default"}}
    assert {"methods": ["password"], "password": {"user": user}} == token["identity"]
    assert {"project": project} == token["scope"]
    assert {"north-admin"} == {one.place for one in api.asked if one.method == "GET"}


async def test_login__application_credential__names_nothing_else(
    api: NovaApi, connect: Connect, tmp_path: Path
) -> None:
    """User, project and what is allowed are the credential's own matter."""
    login = ApplicationCredential(
        auth_url=f"{api.url}/v3", id="0af1", secret_file=tmp_path / "secret"
    )

    await connect(login=login).groups()

    [token] = [one.body["auth"] for one in api.asked if one.method == "POST"]
    credential = {"id": "0af1", "secret": "correct horse"}
    assert {
        "identity": {"methods": ["application_credential"], "application_credential": credential}
    } == token


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"region": ""}, "south-public"),
        ({"region": "", "interface": "internal"}, "south-internal"),
    ],
)
async def test_login__cloud__is_reached_as_its_entry_says(
    api: NovaApi, connect: Connect, tmp_path: Path, given: dict[str, str], place: str
) -> None:
    """Unless [nova] says otherwise."""
    file = tmp_path / "clouds.yaml"
    file.write_text(f"""
clouds:
  site:
    auth:
      auth_url: {api.url}/v3
      username: hamon
      password: correct-horse
      project_name: service
      user_domain_name: Default
      project_domain_name: Default
    region_name: south
    interface: [public, internal]
""")
    file.chmod(0o400)

    await connect(login=CloudEntry(name="site", clouds_file=file), **given).groups()

    assert place == api.asked[-1].place


async def test_endpoint_override__given__is_where_nova_is(api: NovaApi, connect: Connect) -> None:
    """Whatever the catalog says."""
    await connect(endpoint_override=f"{api.url}/elsewhere/v2.1").groups()

    assert "elsewhere" == api.asked[-1].place


async def test_evacuate__in_time__is_sent_at_once_after_the_token(
    api: NovaApi, connect: Connect
) -> None:
    """Nothing that could take long comes between the look at the clock and the order."""
    request_id = await connect().evacuate(GUEST, start_by_s=100.0)

    assert "req-1" == request_id
    assert ["POST", "POST"] == [one.method for one in api.asked]
    assert [{"evacuate": {}}] == orders(api)


async def test_evacuate__done__leaves_no_deadline_to_the_next_call(
    clock: StoppedClock, connect: Connect
) -> None:
    """Threads are used again; a lease is that of one call."""
    cloud = connect(threads=1)
    await cloud.evacuate(GUEST, start_by_s=100.5)
    clock.at_s = 200.0

    assert () == await cloud.groups()


async def test_evacuate__token_took_too_long__is_not_sent(
    api: NovaApi, clock: StoppedClock, connect: Connect
) -> None:
    """The lease of the order was over; whoever leads by then may have decided otherwise."""
    api.on_token = lambda: setattr(clock, "at_s", 100.6)

    with pytest.raises(CloudUnavailableError, match="its time was over") as late:
        await connect().evacuate(GUEST, start_by_s=100.5)

    assert Outcome.NOT_DONE is late.value.outcome
    assert [] == orders(api)


async def test_order__token_took_too_long__is_not_sent(
    api: NovaApi, connect: Connect, clock: StoppedClock
) -> None:
    """Every order has its lease: a late reboot would hit a guest that was moved meanwhile."""
    api.on_token = lambda: setattr(clock, "at_s", 101.0)
    late = 100.5
    cloud = connect()

    for order in (
        cloud.shut_out("s1", "", start_by_s=late),
        cloud.lift_force_down("s1", start_by_s=late),
        cloud.enable("s1", start_by_s=late),
        cloud.start(GUEST, start_by_s=late),
        cloud.stop(GUEST, start_by_s=late),
        cloud.reboot(GUEST, start_by_s=late),
        cloud.reset_task(GUEST, is_error=False, start_by_s=late),
    ):
        with pytest.raises(CloudUnavailableError) as not_sent:
            await order
        assert Outcome.NOT_DONE is not_sent.value.outcome

    assert [] == orders(api)


async def test_evacuate__token_ended_before_its_time__is_sent_with_a_new_one(
    api: NovaApi, connect: Connect
) -> None:
    """A refusal for the token alone has done nothing."""
    cloud = connect()
    await cloud.groups()
    api.tokens.clear()

    await cloud.evacuate(GUEST, start_by_s=100.0)

    assert 2 == len(orders(api))
    assert {"token-2"} == api.tokens


async def test_evacuate__new_token_took_too_long__is_not_sent_again(
    api: NovaApi, clock: StoppedClock, connect: Connect
) -> None:
    """No layer sends again behind the clock's back."""
    cloud = connect()
    await cloud.groups()
    api.tokens.clear()
    api.on_token = lambda: setattr(clock, "at_s", 100.6)

    with pytest.raises(CloudUnavailableError, match="its time was over") as late:
        await cloud.evacuate(GUEST, start_by_s=100.5)

    assert Outcome.NOT_DONE is late.value.outcome
    assert 1 == len(orders(api))


async def test_evacuate__token_gone_again_at_once__is_not_sent_late(
    api: NovaApi, clock: StoppedClock, connect: Connect
) -> None:
    """As when another thread throws it away between this call's look at it and its order."""
    api.expires_at = "2000-01-01T00:00:00.000000Z"
    slow_from_the_second_on = iter([100.0, 100.6, 100.6])
    api.on_token = lambda: setattr(clock, "at_s", next(slow_from_the_second_on))

    with pytest.raises(CloudUnavailableError, match="its time was over"):
        await connect().evacuate(GUEST, start_by_s=100.5)

    assert [] == orders(api)


async def test_change__no_token_is_good_enough__is_not_done(api: NovaApi, connect: Connect) -> None:
    """One new token is tried, not one after another; it says nothing of the server."""
    api.are_tokens_good = False

    with pytest.raises(CloudUnavailableError) as not_let_in:
        await connect().start(GUEST)

    assert Outcome.NOT_DONE is not_let_in.value.outcome
    assert 2 == len(orders(api))


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_change__keystone_gives_no_token__is_not_done(
    api: NovaApi, connect: Connect, status: int
) -> None:
    """Nothing was sent to Nova, and a "no" of keystone's is not one to what was asked for."""
    api.is_keystone_well = False
    api.keystone_status = status

    with pytest.raises(CloudUnavailableError) as unwell:
        await connect().start(GUEST)

    assert Outcome.NOT_DONE is unwell.value.outcome
    assert [] == orders(api)


async def test_change__authorities_gone__is_not_done(connect: Connect, tmp_path: Path) -> None:
    """A file that somebody took away while hamon runs is an outage, not a crash."""
    login = ApplicationCredential(
        auth_url="https://127.0.0.1:9/v3", id="0af1", secret_file=tmp_path / "secret"
    )

    with pytest.raises(CloudUnavailableError, match=r"gone\.pem") as gone:
        await connect(login=login, ca_file=tmp_path / "gone.pem").start(GUEST)

    assert Outcome.NOT_DONE is gone.value.outcome


def uuid_of(number: int) -> str:
    """A UUID for each number."""
    return f"00000000-0000-4000-8000-{number:012}"


async def test_lists__of_thousands__are_read_page_by_page(api: NovaApi, connect: Connect) -> None:
    """Nova gives a thousand rows at once, however many there are."""
    numbers = range(2500)
    api.rows["servers"] = [{"id": uuid_of(number), "name": "g"} for number in numbers]
    api.rows["migrations"] = [
        {
            "id": number,
            "uuid": uuid_of(number),
            "instance_uuid": uuid_of(number),
            "migration_type": "evacuation",
            "status": "done",
            "source_compute": "h1",
            "dest_compute": None,
            "created_at": "2026-11-22T00:00:00.000000",
            "updated_at": None,
        }
        for number in reversed(numbers)
    ]
    api.rows["server_groups"] = [
        {"id": uuid_of(number), "name": "", "policy": "affinity", "members": [GUEST]}
        for number in numbers
    ]
    cloud = connect()

    assert [uuid_of(n) for n in numbers] == [s.guest for s in await cloud.servers(host="h1")]
    assert list(numbers) == [m.number for m in await cloud.migrations(since="2026-01-01T00:00:00Z")]
    groups = await cloud.groups()
    assert [uuid_of(number) for number in numbers] == [group.id for group in groups]
    assert {frozenset({GUEST})} == {group.members for group in groups}


async def test_lists__of_one_page__are_one_request(api: NovaApi, connect: Connect) -> None:
    """Nova says that there is no other page; a list a second must not cost two requests."""
    api.rows["servers"] = [{"id": uuid_of(1), "name": "g"}]
    cloud = connect()

    await cloud.servers(host="h1")
    await cloud.servers(since="2026-11-22T00:00:00Z")

    assert [{}, {}] == [
        {key: value for key, value in one.query.items() if key == "marker"}
        for one in api.asked
        if one.path == "/servers/detail"
    ]


async def test_lists__by_host_or_since__ask_nova_to_choose(api: NovaApi, connect: Connect) -> None:
    """Not a whole cloud is read for the news of a minute."""
    cloud = connect()
    moment = "2026-11-22T00:00:00Z"

    await cloud.servers(host="h1")
    await cloud.servers(since=moment)
    await cloud.touched(moment)
    await cloud.migrations(host="h1")
    await cloud.migrations(since=moment)

    everyone, thousand = {"all_tenants": "1"}, {"limit": "1000"}
    assert [
        everyone | {"host": "h1"},
        everyone | {"changes-since": moment},
        everyone | {"changes-since": moment},
        thousand | {"host": "h1"},
        thousand | {"changes-since": moment},
    ] == [one.query for one in api.asked if one.method == "GET"]


@pytest.mark.parametrize("status", [401, 403])
def test_error__login_or_role_is_not_good_enough__is_not_about_the_server(status: int) -> None:
    """Else every guest of a dead host is given up because of a policy or a key of keystone's."""
    error = novaclient.exceptions.ClientException(status, "no")

    found = translated(error, "evacuate", GUEST, Outcome.UNKNOWN)

    assert isinstance(found, CloudUnavailableError)
    assert Outcome.NOT_DONE is found.outcome


async def test_server__of_a_lost_cell__is_not_known(api: NovaApi, connect: Connect) -> None:
    """Nova tells its id only: taken for a server without a host it would be given up for moved."""
    api.servers[uuid_of(3)] = {"id": uuid_of(3), "status": "UNKNOWN", "tenant_id": "1"}

    with pytest.raises(CloudUnavailableError, match="cell"):
        await connect().server(uuid_of(3))


async def test_server__of_a_volume_or_a_lost_cell__has_what_nova_tells(
    api: NovaApi, connect: Connect
) -> None:
    """What is not told is empty, what boots from a volume has no image, a lost one is left out."""
    flavor = {"vcpus": 2, "ram": 512, "disk": 20, "extra_specs": {"hw:tpm_version": "2.0"}}
    api.rows["servers"] = [
        {"id": uuid_of(1), "image": "", "flavor": flavor, "updated": "2026-11-22T00:00:00Z"},
        {"id": uuid_of(2), "image": {"id": "image-1"}, "flavor": {"vcpus": 1, "ram": 1, "disk": 0}},
        {"id": uuid_of(3), "status": "UNKNOWN"},
    ]

    volume, image = await connect().servers(host="h1")

    assert ("", 2, 512, 20) == (volume.image, volume.vcpus, volume.ram_mib, volume.disk_gib)
    assert {"hw:tpm_version": "2.0"} == volume.extra_specs
    assert "2026-11-22T00:00:00Z" == volume.updated_at
    assert ("image-1", {}) == (image.image, image.extra_specs)


def noted(event: str, result: str | None = None) -> dict[str, Any]:
    """What Nova notes when a part of an action begins, and with a result when it has ended."""
    ended_at = None if result is None else "2026-11-23T00:00:02.000000"
    return {"event": event, "result": result, "finish_time": ended_at, "host": "h2"}


CONDUCTED, TAKEN = noted("rebuild_server", "Success"), noted("compute_rebuild_instance")


@pytest.mark.parametrize(
    ("case", "events", "progress"),
    [
        ("in no hand yet", [], Progress()),
        ("in a conductor's hand", [noted("rebuild_server")], Progress()),
        ("given up", [noted("rebuild_server", "Error")], Progress()),
        ("passed on", [CONDUCTED], Progress(is_passed_on=True)),
        ("taken up", [TAKEN, CONDUCTED], Progress(is_passed_on=True, taken_by="h2")),
        (
            "taken up before the conductor had noted it",
            [TAKEN, noted("rebuild_server")],
            Progress(is_passed_on=True, taken_by="h2"),
        ),
        (
            "ended",
            [noted("compute_rebuild_instance", "Error"), CONDUCTED],
            Progress(is_passed_on=True, taken_by="h2", is_over=True),
        ),
    ],
)
async def test_progress__by_novas_notes__is_of_the_newest_evacuation(
    api: NovaApi, connect: Connect, case: str, events: list[dict[str, Any]], progress: Progress
) -> None:
    """What else was done to the server says nothing, nor what came of earlier requests."""
    path = f"/servers/{GUEST}/os-instance-actions"
    evacuations = [("evacuate", "req-2"), ("evacuate", "req-1")]
    api.bodies[f"{path}/req-2"] = {"instanceAction": {"events": events}}

    for since in ([], [("stop", "req-3")]):
        actions = [*since, *evacuations]
        listed = [{"action": action, "request_id": request} for action, request in actions]
        api.bodies[path] = {"instanceActions": listed}

        expected = replace(progress, is_newest=not since)
        assert expected == await connect().progress(GUEST), case


async def test_progress__never_evacuated__is_none(api: NovaApi, connect: Connect) -> None:
    """There is nothing to ask further."""
    path = f"/servers/{GUEST}/os-instance-actions"
    api.bodies[path] = {"instanceActions": [{"action": "create", "request_id": "req-1"}]}

    assert Progress() == await connect().progress(GUEST)


async def test_orders__in_novas_words__say_no_more_than_they_mean(
    api: NovaApi, connect: Connect
) -> None:
    """Without a reason nothing is disabled; a reboot is a hard one."""
    cloud = connect()

    await cloud.shut_out("s1", "hamon: incident")
    await cloud.shut_out("s1", "")
    await cloud.reboot(GUEST)
    await cloud.reset_task(GUEST, is_error=False)
    await cloud.reset_task(GUEST, is_error=True)

    assert [
        {"forced_down": True, "status": "disabled", "disabled_reason": "hamon: incident"},
        {"forced_down": True},
        {"reboot": {"type": "HARD"}},
        {"os-resetState": {"state": "active"}},
        {"os-resetState": {"state": "error"}},
    ] == orders(api)


@pytest.mark.parametrize("ending", ["", "/", "/v2", "/v2/"])
async def test_image__catalog_has_it_with_or_without_version__is_read_there(
    api: NovaApi, connect: Connect, ending: str
) -> None:
    """Installations differ in what stands in the catalog; texts and tags are what counts."""
    endpoint = {
        "id": "i",
        "region": "north",
        "region_id": "north",
        "interface": "internal",
        "url": f"{api.url}/north-image{ending}",
    }
    api.more_services = [{"id": "2", "type": "image", "name": "glance", "endpoints": [endpoint]}]
    api.bodies["/v2/images/0af1"] = {
        "id": "0af1",
        "hamon:priority": "5",
        "size": 12,
        "protected": False,
        "owner": None,
        "tags": ["evacuable"],
    }

    image = await connect().image("0af1")

    assert (
        Image(
            id="0af1",
            properties={"id": "0af1", "hamon:priority": "5"},
            tags=frozenset({"evacuable"}),
        )
        == image
    )


async def test_image__no_glance_in_the_catalog__is_unavailable(connect: Connect) -> None:
    """And nothing is concluded from it."""
    with pytest.raises(CloudUnavailableError) as failed:
        await connect().image("0af1")

    assert failed.value.outcome is Outcome.NOT_DONE
