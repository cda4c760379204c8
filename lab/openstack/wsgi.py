"""Serves one OpenStack API; runs in OpenStack's own venv: `python wsgi.py PROGRAM MODULE PORT`.

The modules read sys.argv and their configuration when they are imported.
"""

import importlib
import sys

import waitress  # type: ignore[import-not-found,import-untyped,unused-ignore]
from sqlalchemy import orm  # type: ignore[import-not-found,unused-ignore]

THREADS = 16


def main() -> None:
    """Serve the module's `application` on every address."""
    program, module, port = sys.argv[1:]
    sys.argv = [program]
    application = importlib.import_module(module).application
    # Else the first list of ports fails in a young neutron, whose other queries would have done it.
    orm.configure_mappers()
    waitress.serve(application, host="0.0.0.0", port=int(port), threads=THREADS)  # noqa: S104


if __name__ == "__main__":
    main()
