"""``blockmill volume serve``: serves cut-outs of a volume over HTTP until Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import click

from ....formatting.exit_codes import FAILED
from ....formatting.output import complain, say
from ... import options
from ...groups import VOLUMES, verb

if TYPE_CHECKING:
    from .....shared.volumes.restful.cutout import BodyFormat
    from ....http.cutout_server import CutoutServer

_LOOPBACK = ("127.", "::1", "localhost")


@verb(VOLUMES, short_help="Give out a volume in cut-outs over HTTP.")
@click.argument("address", type=options.FILE)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: any that is free.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["hdf5", "npy", "raw"]),
    default="hdf5",
    show_default=True,
    help="What is sent to those who don't say.",
)
def command(address: str, host: str, port: int, kind: BodyFormat) -> int:
    """Give out a volume in cut-outs over HTTP, as a RESTfulVolume asks for them, until Ctrl-C."""
    from .....shared.volumes.registry import open_volume
    from ....http.cutout_server import CutoutServer

    volume = open_volume(address)
    try:
        server = CutoutServer(volume, host, port, kind=kind, max_parallel=2 * len(os.sched_getaffinity(0)))
    except OSError as error:
        volume.close()
        complain(f"blockmill: can't listen at {host} port {port}: {error.strerror or error}")
        return FAILED
    try:
        _serve(server, address, open_to_all=not host.startswith(_LOOPBACK))
    finally:
        volume.close()
    return 0


def _serve(server: CutoutServer, address: str, open_to_all: bool) -> None:
    ended = threading.Event()
    before = {s: signal.signal(s, lambda *_: ended.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="cut-outs")
    thread.start()
    try:
        # The first line of stdout is the address alone, for scripts.
        say(server.url)
        complain(f"serving {address}; to open it elsewhere: curl -o remote.json {server.url}")
        if open_to_all:
            complain("anybody who can reach this port can read the volume")
        ended.wait()
    finally:
        server.stop()
        thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
