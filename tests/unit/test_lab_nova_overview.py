"""What Nova says of the lab is shown as it is, and what is wrong in it is found."""

from dataclasses import replace

import pytest

from lab.openstack.overview import MigrationLine, Overview, ServerLine, ServiceLine, printed
from lab.stage_nova import judged

HOMES = {"h1": [], "h2": ["g1"], "h3": ["g5"]}


def a_server(name: str, host: str) -> ServerLine:
    """A server that runs."""
    return ServerLine(
        name=name, uuid=f"uuid-{name}", status="ACTIVE", task="", host=host, domain=f"i-{name}"
    )


def a_service(host: str) -> ServiceLine:
    """A nova-compute that serves."""
    return ServiceLine(host=host, status="enabled", state="up", is_forced_down=False, reason="")


G1, G5 = a_server("g1", "h2"), a_server("g5", "h3")
EVACUATED = MigrationLine(
    number=7,
    kind="evacuation",
    server="uuid-g1",
    source="h1",
    destination="h2",
    status="completed",
)
WELL = Overview(
    servers=(G1, G5),
    services=(a_service("h1"), a_service("h2"), a_service("h3")),
    migrations=(EVACUATED,),
)


def test_judged__everything_as_it_should_be__is_shown_without_a_fault() -> None:
    """A guest that moved is told with where it is and what became of its record."""
    lines = ["g1  ACTIVE on h2, records: completed", "nova-compute enabled and up on h1 h2 h3"]

    assert (lines, []) == judged(WELL, HOMES, ["g1"])


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (
            replace(WELL, servers=(replace(G1, host="h1"), G5)),
            "Nova has g1 on h1, where it does not run",
        ),
        (replace(WELL, servers=(replace(G1, status="ERROR"), G5)), "Nova has g1 ERROR"),
        (
            replace(WELL, servers=(replace(G1, task="rebuilding"), G5)),
            "Nova has g1 ACTIVE rebuilding",
        ),
        (
            replace(WELL, migrations=(replace(EVACUATED, status="done"),)),
            "Nova's evacuations of g1: done",
        ),
        (
            replace(WELL, migrations=(EVACUATED, EVACUATED)),
            "Nova's evacuations of g1: completed completed",
        ),
        (replace(WELL, migrations=()), "Nova's evacuations of g1: none"),
        (
            replace(WELL, migrations=(EVACUATED, replace(EVACUATED, server="uuid-g5"))),
            "Nova's evacuations of g5: completed",
        ),
        (
            replace(WELL, services=(replace(a_service("h1"), status="disabled"),)),
            "nova-compute of h1 is disabled and up in Nova",
        ),
        (
            replace(WELL, services=(replace(a_service("h1"), is_forced_down=True, state="down"),)),
            "nova-compute of h1 is enabled and down in Nova",
        ),
    ],
)
def test_judged__something_not_as_it_should_be__is_named(said: Overview, fault: str) -> None:
    """The demonstration fails on what Nova has otherwise than libvirt and the story."""
    _, faults = judged(said, HOMES, ["g1"])

    assert [fault] == faults


def test_printed__cloud__is_three_tables_with_servers_by_name() -> None:
    """A record is read beside its server's name; of a server that is gone the uuid is left."""
    gone = replace(EVACUATED, number=8, server="uuid-gone", destination="")
    said = printed(replace(WELL, migrations=(EVACUATED, gone)))

    assert [
        "MIGRATION  TYPE        SERVER     FROM  TO  STATUS",
        "7          evacuation  g1         h1    h2  completed",
        "8          evacuation  uuid-gone  h1        completed",
    ] == said.split("\n")[-3:]
    assert "g1      ACTIVE        h2    uuid-g1" in said.split("\n")
    assert "h1          enabled  up     no" in said.split("\n")
