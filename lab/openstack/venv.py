"""OpenStack's own venv."""

from lab.locked_venv import LockedVenv

OPENSTACK = LockedVenv(name="openstack")
