"""One lab for many tests: made when first needed, repaired before each, made anew if need be."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from lab import records
from lab.lab import Lab
from lab.names import LabError


class SharedLab:
    """The lab of a session of tests.

    Args:
        make: brings a lab of a name up.
    """

    def __init__(self, make: Callable[[str], Lab]) -> None:
        self._make = make
        self._lab: Lab | None = None
        self._tests = 0

    def repaired(self) -> tuple[Lab, str]:
        """Return the lab, all well and without guests, and a new prefix for guests' names."""
        self._tests += 1
        if self._lab is not None:
            try:
                self._lab.repair(remove_guests=True)
            except LabError as error:
                print(f"the lab cannot be repaired and is made anew: {error}")  # noqa: T201
                self.remove()
        if self._lab is None:
            # A name that no other run on this machine has.
            self._lab = self._make(f"i{uuid.uuid4().hex[:10]}")
        return self._lab, f"t{self._tests}"

    def remove(self) -> None:
        """Take the lab down. Idempotent."""
        if self._lab is not None:
            records.remove(self._lab.layout.lab)
            self._lab = None
