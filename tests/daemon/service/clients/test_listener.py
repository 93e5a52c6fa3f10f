"""Which connection must go when there are too many."""

import fcntl
import os
import socket

import pytest
import zmq

from blockmill.daemon.service.clients.listener import Listener, Places


def places(most, newest_goes, *origins):
    made = Places(most, newest_goes=newest_goes)
    for descriptor, origin in enumerate(origins):
        made.add(descriptor, origin, float(descriptor))
    return made


def test_nobody_goes_while_there_is_room():
    assert places(3, True, "a", "b", "a").surplus() is None
    assert places(3, True, "a", "b").has_room_for("a")


def test_of_the_origin_with_the_most_the_oldest_or_the_newest_goes():
    assert places(4, False, "b", "a", "a", "a", "c").surplus() == 1
    assert places(4, True, "b", "a", "a", "a", "c").surplus() == 3


def test_a_newcomer_has_room_if_another_has_more():
    full = places(3, True, "a", "a", "b")
    assert not full.has_room_for("a")
    assert full.has_room_for("b")
    assert full.has_room_for("c")


def test_a_removed_connection_is_counted_no_more():
    made = places(2, True, "a", "a", "b")
    assert made.remove(0) == "a"
    assert made.remove(0) is None
    assert made.surplus() is None
    assert 0 not in made
    assert made.descriptors() == [1, 2]


def test_a_descriptor_that_is_used_again_is_a_new_connection():
    made = places(2, True, "a", "a")
    made.add(0, "b", 5.0)
    assert made.descriptors() == [1, 0]
    assert made.origin_of(0) == "b"
    assert made.older_than(2.0) == [1]


@pytest.fixture
def listener(tmp_path):
    with zmq.Context() as context, socket.socket(socket.AF_UNIX) as listening:
        path = str(tmp_path / "s")
        listening.bind(path)
        listening.listen()
        made = Listener(
            context.socket(zmq.ROUTER),
            listening,
            f"ipc://{path}",
            most_clients=2,
            most_pending=2,
            on_full=lambda count: None,
        )
        yield made
        made.close()


def test_a_file_that_has_the_number_of_a_connection_that_ended_keeps_no_lock(listener, tmp_path):
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert listener._origin(descriptor) is None
    listener._turn_away(descriptor)
    os.close(descriptor)  # gives the lock free, unless a duplicate is left
    with (tmp_path / "f").open() as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_to_look_at_a_connection_does_not_close_it(listener):
    ours, peer = socket.socketpair()
    with ours, peer:
        assert listener._origin(peer.fileno()) == os.getuid()
        ours.sendall(b"x")
        assert peer.recv(1) == b"x"


def test_a_call_whose_connection_is_not_known_any_more_is_one_all_the_same(listener):
    frame = zmq.Frame(b"a call")  # without what libzmq notes of a connection, as after its other end has gone
    with pytest.raises(zmq.ZMQError):
        frame.get(zmq.SRCFD)
    assert listener.heard_from(frame) is True
