"""From what the command line sends to a request for the leader; names are checked here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from uuid import uuid4

from hamon.errors import RequestRefusedError
from hamon.model.control import Request, RequestKind
from hamon.model.names import BootId, GuestId, HostName, guest_id, host_name, is_name

REASON_MAX = 400
"""Characters of an operator's reason: it is written into records."""


def request_asked(text: Mapping[str, str], who: str) -> Request:
    """Make the request that a command line's arguments stand for.

    Args:
        text: the arguments; ``boots`` is a JSON object of boots by host.
        who: who asks.

    Raises:
        RequestRefusedError: one of them makes no sense.
    """
    try:
        return Request(
            kind=RequestKind(text.get("kind", "")),
            nonce=uuid4().hex,
            who=who,
            host=_name(text.get("host")),
            guest=_guest(text.get("guest")),
            target=_name(text.get("target")),
            boot_id=BootId(text["boot_id"]) if text.get("boot_id") else None,
            reason=_line(text.get("reason", "")),
            until=text.get("until", ""),
            boots=_boots(text.get("boots", "{}")),
            force=text.get("force") == "True",
            needs_password=bool(text.get("password")),
        )
    except ValueError as error:
        raise RequestRefusedError(str(error)) from error


def _line(text: str) -> str:
    if len(text) > REASON_MAX or not text.isprintable():
        msg = f"the reason must be one line of at most {REASON_MAX} characters"
        raise ValueError(msg)
    return text


def _boots(text: str) -> dict[HostName, BootId]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("boots: not an object")  # noqa: TRY004 - wrong input, not a wrong call
    return {host_name(host): BootId(str(boot)) for host, boot in found.items()}


def _guest(text: str | None) -> GuestId | None:
    return guest_id(text) if text is not None else None


def _name(text: str | None) -> HostName | None:
    if text is None:
        return None
    if not is_name(text):
        msg = f"{text!r} is not a host name"
        raise ValueError(msg)
    return HostName(text)
