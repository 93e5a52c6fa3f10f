"""Open files that are handed over."""

import os
import socket

import pytest

from blockmill.shared.system.descriptors import receive_file, send_file


@pytest.fixture
def pair():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


def test_a_file_arrives_with_its_packet_and_is_not_inherited(pair, tmp_path):
    (tmp_path / "x").write_text("voxels")
    with open(tmp_path / "x") as file:
        send_file(pair[0], b"packet", file.fileno())
    pair[0].send(b"without")
    data, fd = receive_file(pair[1], 100)
    assert data == b"packet"
    assert not os.get_inheritable(fd)
    with open(fd) as file:
        assert file.read() == "voxels"
    assert receive_file(pair[1], 100) == (b"without", None)
    pair[0].close()
    assert receive_file(pair[1], 100) == (b"", None)


def test_several_files_in_a_packet_leave_one_open(pair):
    before = len(os.listdir("/proc/self/fd"))
    with open(os.devnull) as file:
        socket.send_fds(pair[0], [b"x"], [file.fileno()] * 3)
    _, fd = receive_file(pair[1], 1)
    os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_socket_is_told_at_once(pair):
    with open(os.devnull) as file, pytest.raises(BlockingIOError):
        for _ in range(100_000):
            send_file(pair[0], b"x", file.fileno())
