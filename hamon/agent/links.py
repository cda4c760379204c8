"""What the kernel says of this host's network links."""

from __future__ import annotations

from pathlib import Path

_UP = frozenset({"up", "unknown"})
"""``unknown``: a driver that does not keep the state, such as that of a tap; its carrier counts."""

SYS = Path("/sys/class/net")


def link_trouble(link: str, root: Path = SYS) -> str:
    """Tell why a link carries nothing; "": it does.

    Reads files of the kernel, which do not block.

    Args:
        link: its name.
        root: where the kernel shows its links.
    """
    try:
        state = (root / link / "operstate").read_text().strip()
    except OSError:
        return "there is no such link"
    try:
        has_carrier = (root / link / "carrier").read_text().strip() == "1"
    except OSError:
        # The kernel refuses to say it of a link that is switched off.
        return "it is switched off"
    if not has_carrier:
        return "it has no carrier"
    return "" if state in _UP else f"it is {state}"
