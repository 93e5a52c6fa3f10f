"""Silent connections, and clients that are too many: who else still gets in, and what they are told."""

import contextlib
import getpass
import socket
import time

import psutil
import pytest

import blockmill
from blockmill.shared.errors import ServiceUnreachable


@pytest.fixture
def crowd():
    """Called with how to connect, gives so many connections that stay open to the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda connect, count: [stack.enter_context(connect()) for _ in range(count)]


@pytest.fixture
def keys(bench, monkeypatch):
    """Keys of a service and of a client that may connect to it."""
    service, client = bench.folder / "service-keys", bench.folder / "client-keys"
    bench.run("keys", "new", "service", "--folder", str(service))
    bench.run("keys", "new", "--folder", str(client))
    account = ("--account", getpass.getuser(), "--folder", str(service))
    bench.run("keys", "allow", str(client / "client.key"), *account)
    bench.environ |= {"BLOCKMILL__TCP__KEYS": str(service), "BLOCKMILL__TCP__LISTEN": "127.0.0.1:0"}
    monkeypatch.setenv("BLOCKMILL_KEY", str(client / "client.key_secret"))
    monkeypatch.setenv("BLOCKMILL_SERVICE_KEY", str(service / "service.key"))
    return service, client


def port_of(bench):
    connections = psutil.Process(bench.service.pid).net_connections("tcp")
    return next(c.laddr.port for c in connections if c.status == "LISTEN")


def silent(path):
    """A connection to a unix socket; while its queue is full, it is tried again."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    while True:
        try:
            connection.connect(str(path))
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return connection


def test_strangers_at_the_port_shut_neither_the_socket_nor_the_port(bench, keys, crowd):
    bench.environ["BLOCKMILL__LIMITS__CONNECTIONS"] = "100"
    bench.serve()
    port = port_of(bench)
    crowd(lambda: socket.create_connection(("127.0.0.1", port), 20), 400)
    for _ in range(3):
        with bench.client(timeout_s=30) as local:
            assert local.service().workers == 2
        with blockmill.Client(f"tcp://127.0.0.1:{port}", timeout_s=30) as remote:
            assert remote.service().workers == 2
    bench.run("ls")


def test_silent_connections_of_the_own_user_shut_nobody_out(bench, crowd):
    bench.environ["BLOCKMILL__LIMITS__CONNECTIONS"] = "50"
    bench.serve()
    crowd(lambda: silent(bench.socket), 400)
    for _ in range(3):
        with bench.client(timeout_s=30) as client:
            assert client.service().workers == 2


def test_a_client_that_is_one_too_many_is_told_so(bench):
    bench.environ["BLOCKMILL__LIMITS__CONNECTIONS"] = "1"
    bench.serve()
    with bench.client(timeout_s=60) as stays, bench.client(timeout_s=3) as surplus:
        assert stays.service().workers == 2
        with pytest.raises(ServiceUnreachable, match=r"turned this client away for 3 s.*limits\.connections"):
            surplus.service()
        assert stays.service().workers == 2
    with bench.client(timeout_s=60) as later:
        assert later.service().workers == 2


def test_a_client_whose_key_is_not_allowed_is_told_so(bench, keys, monkeypatch):
    bench.run("keys", "new", "--folder", str(bench.folder / "stranger"))
    bench.serve()
    monkeypatch.setenv("BLOCKMILL_KEY", str(bench.folder / "stranger" / "client.key_secret"))
    with (
        blockmill.Client(f"tcp://127.0.0.1:{port_of(bench)}", timeout_s=3) as stranger,
        pytest.raises(ServiceUnreachable, match="does not take this client's key"),
    ):
        stranger.service()
