"""The verb ``volume serve``: a volume given out over HTTP until somebody says stop."""

from __future__ import annotations

import os
import signal
import sys
import threading

from .....shared.errors import BlockmillError
from .....shared.volumes.formats import open_volume
from .....shared.volumes.restful.cutout import Kind
from ....formatting import exit_codes as exitcodes
from ....http.cutout_server import CutoutServer

_LOOPBACK = ("127.", "::1", "localhost")


def serve_volume(address: str, host: str, port: int, kind: Kind) -> int:
    """Serve the volume at `address` until SIGTERM or Ctrl-C; the exit code of the command."""
    try:
        volume = open_volume(address)
    except BlockmillError as error:
        print(f"blockmill: {error}", file=sys.stderr)
        return exitcodes.exit_code_of(error)
    try:
        server = CutoutServer(volume, host, port, kind=kind, max_parallel=2 * len(os.sched_getaffinity(0)))
    except OSError as error:
        volume.close()
        print(f"blockmill: can't listen at {host} port {port}: {error.strerror or error}", file=sys.stderr)
        return exitcodes.FAILED
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
        print(server.url, flush=True)
        print(f"serving {address}; to open it elsewhere: curl -o remote.json {server.url}", file=sys.stderr)
        if open_to_all:
            print("anybody who can reach this port can read the volume", file=sys.stderr)
        ended.wait()
    finally:
        server.stop()
        thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
