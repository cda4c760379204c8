"""Serves one OpenStack API; runs in OpenStack's own venv: `python wsgi.py PROGRAM MODULE PORT`.

The modules read sys.argv and their configuration when they are imported. A line is printed for each
request: see `lab.openstack.access`, which this venv does not have.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import waitress  # type: ignore[import-not-found,import-untyped,unused-ignore]
from sqlalchemy import orm  # type: ignore[import-not-found,unused-ignore]

THREADS = 6
"""A request to placement holds one connection to its database and takes a second; of 15 that its
process may have, 16 at once leave none to take, and all time out. Nobody serves it with so many."""


def main() -> None:
    """Serve the module's `application` on every address."""
    program, module, port = sys.argv[1:]
    sys.argv = [program]
    application = importlib.import_module(module).application
    # Else the first list of ports fails in a young neutron, whose other queries would have done it.
    orm.configure_mappers()
    waitress.serve(told(application), host="0.0.0.0", port=int(port), threads=THREADS)  # noqa: S104


def told(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """An application that prints what it was asked, and what it answered."""

    def telling(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked_s = time.clock_gettime(time.CLOCK_BOOTTIME)

        def start(status: str, *arguments: Any) -> Any:  # noqa: ANN401 - as WSGI has it
            line = {
                "asked_s": asked_s,
                "answered_s": time.clock_gettime(time.CLOCK_BOOTTIME),
                "sender": environ["REMOTE_ADDR"],
                "agent": environ.get("HTTP_USER_AGENT", ""),
                "method": environ["REQUEST_METHOD"],
                "path": environ["PATH_INFO"],
                "action": "",
                "status": int(status.split(maxsplit=1)[0]),
            }
            # In one piece: many threads print.
            os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")
            return start_response(status, *arguments)

        return application(environ, start)

    return telling


if __name__ == "__main__":
    main()
