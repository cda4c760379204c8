"""Bring the guests of a failed compute host back to life on other hosts, exactly once."""
