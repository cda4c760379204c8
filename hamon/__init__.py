"""Bring the guests of a failed compute host back to life on other hosts, exactly once."""

__version__ = "0.1.0"
