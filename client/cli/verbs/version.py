"""``blockmill version``: of this command and of the service."""

from __future__ import annotations

from .... import __version__
from ....shared.errors import ServiceUnreachable
from ...formatting.output import complain, say, say_json
from .. import options
from ..groups import MACHINE, verb


@verb(MACHINE)
@options.as_json
@options.socket
def command(as_json: bool, socket: str | None) -> int:
    """The version of this command and of the service."""
    from ...service.versions import older_side

    with options.client(socket) as service:
        try:
            info = service.service()
        except ServiceUnreachable:
            info = None
    service_version = None if info is None else info.version
    if as_json:
        say_json(version=__version__, service=service_version)
    else:
        service_text = "" if info is None else f", service {service_version} (pid {info.pid})"
        say(f"blockmill {__version__}{service_text}")
    if service_version is not None and (older := older_side(service_version)):
        complain(older)
    return 0
