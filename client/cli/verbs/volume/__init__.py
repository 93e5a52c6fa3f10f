"""``blockmill volume``: each module is a verb of that group.

May import: shared, daemon, cli, formatting, http, library, verify.
"""

from __future__ import annotations

from ...groups import VOLUMES, group


@group(VOLUMES, package=__name__)
def command() -> None:
    """Volumes: make samples, look into them, give them out."""
