"""A web server that gives out any volume in cut-outs, as `RESTfulVolume` asks for them.

``GET /`` answers with the description for a `RESTfulVolume`; ``/cutout/0,64/0,128/10,20.h5`` with
the voxels from start to stop of each axis, as ``.h5``, ``.npy`` or ``.raw``. Without an extension
the header ``Accept`` decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import numpy as np

from ...shared.errors import BlockmillError, MissingBlock, OutOfBounds
from ...shared.geometry.roi import Roi
from ...shared.volumes.base.api import Volume
from ...shared.volumes.restful.cutout import CONTENT_TYPES, BodyFormat, encode
from ...shared.volumes.restful.description import RESTfulVolumeDescription

DATASET = "/cutout"
_EXTENSIONS: dict[str, BodyFormat] = {".h5": "hdf5", ".hdf5": "hdf5", ".npy": "npy", ".raw": "raw"}
_PATH = re.compile(r"/cutout/(?P<ends>[0-9,/]+)(?P<extension>\.[a-z0-9]+)?")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:]+\](:\d+)?")
_TOO_MANY = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_IDLE_S = 60.0
_BUSY_WAIT_S = 20.0


class Response(NamedTuple):
    """The response to a client."""

    status: HTTPStatus
    headers: dict[str, str]
    body: bytes | memoryview


class HttpRefusal(Exception):
    """A request that gets no voxels, with the response for its client.

    Parameters
    ----------
    status : HTTPStatus
    reason : str
        The body of the response.
    **headers : str
        Further headers, with underscores in place of hyphens.
    """

    def __init__(self, status: HTTPStatus, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.answer = Response(
            status,
            {
                "Content-Type": "text/plain; charset=utf-8",
                **{k.replace("_", "-"): v for k, v in headers.items()},
            },
            f"{reason}\n".encode(),
        )


class CutoutServer(ThreadingHTTPServer):
    """Serves one volume until `stop`; a thread a connection, a bounded number of each.

    Parameters
    ----------
    volume : Volume
        Read by several threads at once; not closed here.
    host, port
        The address to listen at; port 0: any that is free, see `url`.
    kind : {"hdf5", "npy", "raw"}
        Format for clients that ask for none, also named in the description.
    max_parallel : int
        Cut-outs that are read and encoded at a time. Others wait, then get 503.
    max_connections : int
        Connections at a time; further ones get 503 at once.
    max_cutout_bytes : int
        Larger ones are refused with 413.

    Raises
    ------
    OSError
        If it can't listen there.
    """

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(
        self,
        volume: Volume,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        kind: BodyFormat = "hdf5",
        max_parallel: int = 4,
        max_connections: int = 256,
        max_cutout_bytes: int = 1 << 30,
    ) -> None:
        self.volume = volume
        self.kind: BodyFormat = kind
        self.max_cutout_bytes = max_cutout_bytes
        self._slots = threading.BoundedSemaphore(max_parallel)
        self._max_connections = max_connections
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Connection)

    @property
    def url(self) -> str:
        """Address of the description."""
        host, port = self.server_address[0], self.server_address[1]
        return f"http://[{host}]:{port}/" if ":" in str(host) else f"http://{host}:{port}/"

    def server_bind(self) -> None:
        """Listen, without asking the name service who we are, as the base class does."""
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    # ------------------------------------------------------------------ answers

    def description(self, base: str, *, negotiable: bool = False) -> RESTfulVolumeDescription:
        """The description of the volume for a client that reaches this server at `base`.

        Parameters
        ----------
        base : str
            Address of the server, with a slash at the end.
        negotiable : bool
            Leave the format to the header ``Accept``, so that a client which understands a cheaper one
            gets it, and the original, which has no such header, gets `kind`.

        Returns
        -------
        RESTfulVolumeDescription
        """
        volume = self.volume
        ends = "/".join(f"{{{letter}_start}},{{{letter}_stop}}" for letter in volume.axes)
        extension = next(text for text, kind in _EXTENSIONS.items() if kind == self.kind)
        return RESTfulVolumeDescription(
            name=volume.address.rpartition("/")[2],
            format=self.kind,
            axes=volume.axes,
            dtype=volume.dtype,
            bounds=volume.shape,
            url_format=f"{base}cutout/{ends}{'' if negotiable else extension}",
            hdf5_dataset=DATASET,
        )

    def answer(self, path: str, accept: str, host: str) -> Response:
        """Return the complete answer to a GET.

        Parameters
        ----------
        path : str
            Path of the request; a query is ignored.
        accept, host : str
            Headers ``Accept`` and ``Host``; empty if the client sends none.

        Returns
        -------
        Response

        Raises
        ------
        HttpRefusal
            If the client gets no voxels.
        """
        path = path.partition("?")[0]
        if path in ("/", "/description.json"):
            base = f"http://{host}/" if _HOST.fullmatch(host) else self.url
            plain = self.description(base, negotiable=True).plain()
            body = json.dumps(plain, indent=4).encode() + b"\n"
            return _tagged(Response(HTTPStatus.OK, {"Content-Type": "application/json"}, body))
        roi, kind = self._parse(path, accept)
        if not self._slots.acquire(timeout=_BUSY_WAIT_S):
            raise HttpRefusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many cut-outs at once", Retry_After="1")
        try:
            voxels = np.ascontiguousarray(self.volume.read(roi))
            body, headers = encode(kind, voxels, self.volume.axes, DATASET)
        except MissingBlock as error:
            raise HttpRefusal(HTTPStatus.NOT_FOUND, str(error)) from error
        except (BlockmillError, OSError, MemoryError) as error:
            raise HttpRefusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error) or type(error).__name__) from error
        finally:
            self._slots.release()
        return _tagged(Response(HTTPStatus.OK, {**headers, "Vary": "Accept"}, body))

    def _parse(self, path: str, accept: str) -> tuple[Roi, BodyFormat]:
        match = _PATH.fullmatch(path)
        if match is None:
            raise HttpRefusal(HTTPStatus.NOT_FOUND, f"there is no {path[:200]}; / describes the volume")
        roi = self._roi(match["ends"])
        size = math.prod(roi.shape) * self.volume.dtype.itemsize
        if size > self.max_cutout_bytes:
            reason = (
                f"the cut-out has {size} bytes, more than the {self.max_cutout_bytes} that are sent at once"
            )
            raise HttpRefusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
        return roi, self._kind(match["extension"], accept)

    def _roi(self, text: str) -> Roi:
        axes, shape = self.volume.axes, self.volume.shape
        pairs = [pair.split(",") for pair in text.strip("/").split("/")]
        if len(pairs) != len(axes) or any(len(p) != 2 or not all(p) or len(max(p)) > 18 for p in pairs):
            form = "/".join(f"{letter}_start,{letter}_stop" for letter in axes)
            raise HttpRefusal(HTTPStatus.BAD_REQUEST, f"expected /cutout/{form} in whole numbers")
        try:
            roi = Roi(tuple(int(a) for a, _ in pairs), tuple(int(b) for _, b in pairs))
            roi.check_within(shape, "volume")
        except OutOfBounds as error:
            raise HttpRefusal(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, str(error)) from error
        return roi

    def _kind(self, extension: str | None, accept: str) -> BodyFormat:
        if extension is not None:
            if extension not in _EXTENSIONS:
                extensions = ", ".join(_EXTENSIONS)
                raise HttpRefusal(HTTPStatus.NOT_FOUND, f"{extension} is none of {extensions}")
            return _EXTENSIONS[extension]
        return self._accepted(accept)

    def _accepted(self, accept: str) -> BodyFormat:
        """The kind with the highest weight in an Accept header; among equals, the server's."""
        weights: dict[str, float] = {}
        for item in accept.lower().split(","):
            name, _, parameters = item.partition(";")
            weight = re.search(r"\bq=([0-9.]+)", parameters)
            weights[name.strip()] = float(weight[1]) if weight and weight[1].count(".") <= 1 else 1.0
        kinds: list[BodyFormat] = [self.kind, *(kind for kind in CONTENT_TYPES if kind != self.kind)]

        def weight_of(kind: BodyFormat) -> float:
            anything = weights.get("*/*", 0.0 if accept.strip() else 1.0)
            return weights.get(CONTENT_TYPES[kind], weights.get("application/*", anything))

        best = max(kinds, key=weight_of)
        if weight_of(best) <= 0:
            raise HttpRefusal(HTTPStatus.NOT_ACCEPTABLE, f"sent are {', '.join(CONTENT_TYPES.values())}")
        return best

    # ------------------------------------------------------------------ connections

    def process_request(self, request: socket.socket, client_address: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start a thread for a connection, or refuse it if there are too many.

        Parameters
        ----------
        request, client_address
            As `socketserver` passes them; the request is the connection's socket.
        """
        with self._lock:
            accepted = len(self._connections) < self._max_connections
            if accepted:
                self._connections.add(request)
        if accepted:
            super().process_request(request, client_address)  # pyright: ignore[reportArgumentType]
            return
        try:
            request.setblocking(False)
            request.send(_TOO_MANY)
        except OSError:
            pass  # it has gone
        self.shutdown_request(request)

    def shutdown_request(self, request: socket.socket) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Close a connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that went away in the middle; print any other error on stderr.

        Parameters
        ----------
        request, client_address
            As `socketserver` passes them.
        """
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # pyright: ignore[reportArgumentType]

    def stop(self, grace_s: float = 5.0) -> None:
        """End `serve_forever`, which runs in another thread; answers under way are finished first.

        Parameters
        ----------
        grace_s : float
            Cut connections after this time.
        """
        self.shutdown()
        self._hang_up(socket.SHUT_RD)  # idle connections see their end
        cut = threading.Timer(grace_s, self._hang_up, (socket.SHUT_RDWR,))
        cut.start()
        try:
            self.server_close()  # waits for the threads
        finally:
            cut.cancel()

    def _hang_up(self, how: int) -> None:
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # it may have gone
                    connection.shutdown(how)


def _tagged(answer: Response) -> Response:
    """The answer with an ETag: a hash of its body."""
    tag = hashlib.sha256(answer.body).hexdigest()[:32]
    return answer._replace(headers={**answer.headers, "ETag": f'"{tag}"'})


class _Connection(BaseHTTPRequestHandler):
    """One connection: requests one after another, according to HTTP."""

    protocol_version = "HTTP/1.1"
    server_version = "blockmill"
    sys_version = ""
    timeout = _IDLE_S
    disable_nagle_algorithm = True
    server: CutoutServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """Answer with headers and, unless it is a HEAD, the body."""
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body, which nobody will read
        try:
            full = self.server.answer(self.path, self.headers.get("Accept", ""), self.headers.get("Host", ""))
            answer = self._cut(self._unless_cached(full))
        except HttpRefusal as refusal:
            answer = refusal.answer
        self._send(answer)

    do_HEAD = do_GET  # noqa: N815

    def _unless_cached(self, answer: Response) -> Response:
        """Replace the answer by a 304 if the client has it already."""
        tags = [tag.strip().removeprefix("W/") for tag in self.headers.get("If-None-Match", "").split(",")]
        if answer.headers["ETag"] in tags or "*" in tags:
            return Response(HTTPStatus.NOT_MODIFIED, answer.headers, b"")
        return answer

    def _cut(self, answer: Response) -> Response:
        """Cut an answer to what ``Range`` asks for; a list of ranges is ignored, as HTTP allows."""
        match = _RANGE.fullmatch(self.headers.get("Range", "").strip())
        fresh = self.headers.get("If-Range", answer.headers["ETag"]) == answer.headers["ETag"]
        if answer.status != HTTPStatus.OK or match is None or not any(match.groups()) or not fresh:
            return answer
        size = len(answer.body)
        first, last = _ends(match[1], match[2], size)
        if first > last:
            if match[1] and match[2] and int(match[1]) > int(match[2]):
                return answer  # an invalid range is ignored
            reason = f"there are {size} bytes"
            raise HttpRefusal(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, reason, Content_Range=f"bytes */{size}"
            )
        headers = {**answer.headers, "Content-Range": f"bytes {first}-{last}/{size}"}
        return Response(HTTPStatus.PARTIAL_CONTENT, headers, memoryview(answer.body)[first : last + 1])

    def _send(self, answer: Response) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing: a line for each cut-out would be too much."""


def _ends(first: str, last: str, size: int) -> tuple[int, int]:
    """The first and last byte of a range; an empty range has its first byte after its last."""
    if not first:
        return (max(0, size - int(last[:18])), size - 1) if int(last[:18]) else (size, size - 1)
    return int(first[:18]), min(int(last[:18]), size - 1) if last else size - 1
