"""Servers for the tests: a good one, and one that misbehaves as it is told, in front of it."""

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from blockmill.client.http.cutout_server import CutoutServer
from blockmill.shared.volumes.base.memory import MemoryVolume


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

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()

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
        if deed:
            deed(self, good)
        else:
            self.send(*good)

    def send(self, status, headers, body, length=None):
        """Answer; `length` is the Content-Length to tell, or "none", where it is not that of `body`."""
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() in ("content-type", "retry-after", "location") or name.startswith("X-Voxel"):
                self.send_header(name, value)
        if length != "none":
            self.send_header("Content-Length", str(len(body) if length is None else length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serving(run_server):
    """Starts good servers: `serving(data, axes, kind)` gives one."""

    def start(data, axes="zyx", kind="hdf5", **options):
        return run_server(CutoutServer(MemoryVolume(data, axes=axes), kind=kind, **options))

    return start


@pytest.fixture
def bad(run_server):
    """Puts a bad network before a good server: `bad(server)`."""
    return lambda behind: run_server(BadNetwork(behind))
