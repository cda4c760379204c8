"""Reading the configuration again while a daemon runs by it."""

from __future__ import annotations

import structlog

from hamon.errors import ConfigError
from hamon.logs import configure
from hamon.settings.load import check, load
from hamon.settings.values import Settings

_log = structlog.get_logger()


def reread(present: Settings) -> Settings | None:
    """Return the settings as they stand in the files now, None: go on with the present ones.

    That is so when nothing changed, and when something cannot be used: each fault is then logged.
    What is logged, and how, follows the new settings at once.

    Args:
        present: what the daemon runs by.
    """
    try:
        faults: tuple[ConfigError, ...] = tuple(check(present.path))
        found = None if faults else load(present.path)
    except ConfigError as error:
        # Changed between the two readings.
        faults, found = (error,), None
    for fault in faults:
        _log.error("settings_refused", path=fault.path, key=fault.key, why=fault.why)
    if found is None:
        return None
    if found == present:
        _log.info("settings_unchanged", path=str(present.path))
        return None
    configure(found.log.level, found.log.format)
    _log.info("settings_changed", path=str(present.path), digest=found.digest)
    return found
