"""Servers for the tests: a good one, and one that misbehaves as it is told, in front of it."""

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from blockmill.client.cutoutserver import CutoutServer
from blockmill.shared.volumes.memory import MemoryVolume


class BadNetwork(ThreadingHTTPServer):
    """Hands requests on to a good server, after doing to them what `plan` says, one entry a request.

    An entry is a function of the handler and of the good answer (status, headers, body); None lets
    a request through.
    """

    def __init__(self, behind):
        self.behind = behind
        self.plan = []
        self.always = None
        self.seen = []  # paths
        self.headers_seen = []
        self.count = Counter()
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.arrived = threading.Semaphore(0)
        super().__init__(("127.0.0.1", 0), _BadHandler)

    @property
    def host(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Clients that hang up are what these tests are about."""


class _BadHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        with server.lock:
            server.seen.append(self.path)
            server.headers_seen.append(dict(self.headers))
            server.count[self.path] += 1
            deed = server.plan.pop(0) if server.plan else server.always
        server.arrived.release()
        connection = http.client.HTTPConnection(*server.behind.server_address[:2])
        headers = {k: v for k, v in self.headers.items() if k in ("Accept", "Host")}
        connection.request("GET", self.path, headers=headers)
        answer = connection.getresponse()
        good = (answer.status, dict(answer.getheaders()), answer.read())
        connection.close()
        (deed or plainly)(self, good)

    def log_message(self, *_):
        pass


def plainly(handler, good):
    send(handler, *good)


def send(handler, status, headers, body, length=None):
    handler.send_response(status)
    for name, value in headers.items():
        if name.lower() in ("content-type", "retry-after", "location") or name.startswith("X-Voxel"):
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def serving():
    """Starts good servers: `serving(data, axes, kind)` gives one."""
    running = []

    def start(data, axes="zyx", kind="hdf5", **options):
        server = CutoutServer(MemoryVolume(data, axes=axes), kind=kind, **options)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.stop()
        thread.join()


@pytest.fixture
def bad(serving):
    """Puts a bad network before a good server: `bad(server)`."""
    running = []

    def start(behind):
        server = BadNetwork(behind)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
