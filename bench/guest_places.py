"""Where Nova has its guests, read from its database.

Asked through the API, it would cost Nova more than the evacuations that are measured.
"""

import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from lab.machine import Machine
from lab.names import LabError
from lab.observer import now_s

POLL_S = 0.1
CLIENT = ("mariadb", "--socket=/run/mysqld/mysqld.sock")
_SESSION = (*CLIENT, "--batch", "--skip-column-names", "--unbuffered", "nova")
_END = "end"

_GUESTS = """\
SELECT uuid, display_name, IFNULL(host, ''), vm_state, IFNULL(task_state, '') FROM instances
WHERE deleted = 0 ORDER BY uuid;
"""
_EVACUATIONS = """\
SELECT instance_uuid, status, id FROM migrations
WHERE deleted = 0 AND migration_type = 'evacuation' AND id > {after} ORDER BY id;
"""
_NEWEST = "SELECT IFNULL(MAX(id), 0) FROM migrations;"

Rows = list[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A server as Nova's database has it.

    Attributes:
        uuid: of the server.
        name: its owner gave it.
        host: of its nova-compute, "": none.
        vm_state, task_state: as Nova keeps them; a task "" is none.
    """

    uuid: str
    name: str
    host: str
    vm_state: str
    task_state: str

    def runs_elsewhere(self, source: str) -> bool:
        """Whether it is active on another host, and nothing is being done to it."""
        return self.host not in {"", source} and (self.vm_state, self.task_state) == ("active", "")

    @property
    def is_given_up(self) -> bool:
        """Whether Nova does nothing more about it, unless it is asked again."""
        return (self.vm_state, self.task_state) == ("error", "")


class GuestPlaces:
    """One connection to Nova's database; use it in a `with`.

    Args:
        cloud: the machine of OpenStack's control plane.
    """

    def __init__(self, cloud: Machine) -> None:
        self._cloud = cloud

    def __enter__(self) -> Self:
        self._client = subprocess.Popen(
            self._cloud.exec_argv(_SESSION),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._client.kill()
        self._client.wait()

    def guests(self) -> list[Guest]:
        """Every server that is not deleted.

        Raises:
            LabError: the database does not answer.
        """
        return [
            Guest(uuid=uuid, name=name, host=host, vm_state=vm_state, task_state=task_state)
            for uuid, name, host, vm_state, task_state in self._ask(_GUESTS)
        ]

    def newest_migration(self) -> int:
        """The number of Nova's newest migration record, 0: there is none.

        Raises:
            LabError: the database does not answer.
        """
        return int(self._ask(_NEWEST)[0][0])

    def evacuations(self, after: int) -> dict[str, list[str]]:
        """The statuses of each guest's evacuations with higher numbers than `after`, oldest first.

        Raises:
            LabError: the database does not answer.
        """
        found: dict[str, list[str]] = {}
        for uuid, status, _ in self._ask(_EVACUATIONS.format(after=after)):
            found.setdefault(uuid, []).append(status)
        return found

    def wait_elsewhere(self, source: str, deadline_s: float, *, asks_again: bool) -> float | None:
        """Wait until every guest runs elsewhere; return when (CLOCK_BOOTTIME), None: they do not.

        Args:
            source: the host that died.
            deadline_s: how long at most.
            asks_again: whether somebody asks again for a guest that Nova has given up.

        Raises:
            LabError: the database does not answer.
        """
        return wait_elsewhere(self.guests, source, deadline_s, asks_again=asks_again)

    def _ask(self, question: str) -> Rows:
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(f"{question}SELECT '{_END}';\n")
        self._client.stdin.flush()
        return rows_of(self._client.stdout)


def rows_of(lines: Iterable[str]) -> Rows:
    """The rows that a client printed, up to the mark that says that there are no more.

    Raises:
        LabError: there is no such mark.
    """
    rows: Rows = []
    for line in lines:
        if line == f"{_END}\n":
            return rows
        rows.append(line.rstrip("\n").split("\t"))
    raise LabError("Nova's database does not answer")


def wait_elsewhere(
    guests: Callable[[], list[Guest]], source: str, deadline_s: float, *, asks_again: bool
) -> float | None:
    """Ask until every guest runs elsewhere; see `GuestPlaces.wait_elsewhere`."""
    give_up_s = now_s() + deadline_s
    while now_s() < give_up_s:
        left = [guest for guest in guests() if not guest.runs_elsewhere(source)]
        if not left:
            return now_s()
        if not asks_again and all(guest.is_given_up for guest in left):
            return None
        time.sleep(POLL_S)
    return None


def faults(
    before: Iterable[Guest], after: Iterable[Guest], evacuations: dict[str, list[str]], source: str
) -> list[str]:
    """What must not be after an evacuation, in words: guests lost, double, stuck.

    Args:
        before: the guests of the source before it died.
        after: all guests now.
        evacuations: the statuses of each guest's evacuations since, by its uuid.
        source: the host that died.
    """
    now = {guest.uuid: guest for guest in after}
    found = []
    for old in before:
        guest, statuses = now.get(old.uuid), evacuations.get(old.uuid, [])
        if guest is None:
            found.append(f"{old.name} lost")
        elif not guest.runs_elsewhere(source):
            where = f"{guest.host} {guest.vm_state} {guest.task_state}".rstrip()
            found.append(f"{old.name} stuck: {where}")
        if statuses not in (["done"], ["completed"]):
            found.append(f"{old.name} evacuated {len(statuses)} times: {' '.join(statuses)}")
    return found
