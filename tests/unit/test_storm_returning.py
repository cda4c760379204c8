"""A host that is lost on its way back counts towards a storm."""

import pytest

from hamon.decide.storms import troubled_hosts
from hamon.model.host import HostState
from hamon.model.policy import Policy
from tests.builders import HOST, NEXT_BOOT, NOW_S, a_host, a_view


@pytest.mark.parametrize(("is_here", "counted"), [(False, (HOST,)), (True, ())])
def test_troubled__returning_host__counts_when_it_is_gone_again(
    is_here: bool,  # noqa: FBT001 - a case
    counted: tuple[str, ...],
) -> None:
    """It may be convicted once more, so it takes one of the places that there are (S9)."""
    host = a_host(HOST, HostState.RETURNING, boot_id=NEXT_BOOT, is_here=is_here)

    assert counted == tuple(troubled_hosts(a_view(host), Policy(), NOW_S))
