"""Whose call it is: of what a client can claim about itself nothing counts."""

import socket
from types import SimpleNamespace

from blockmill.daemon.service.clients.keyring import NOBODY
from blockmill.daemon.service.sockets import Sockets


class Frame:
    """A frame with properties as libzmq gives them: its own, and whatever the client claims."""

    def __init__(self, **properties):
        self._properties = {name.replace("_", "-"): value for name, value in properties.items()}

    def get(self, name):
        return self._properties.get(name, "")


def account(family, frame, keys=None):
    keyring = SimpleNamespace(account_of=lambda key: (keys or {}).get(key, NOBODY))
    listener = SimpleNamespace(listening=SimpleNamespace(family=family))
    return Sockets._account(SimpleNamespace(_keyring=keyring), listener, frame)


def test_a_unix_socket_goes_by_the_kernels_word_whatever_key_is_claimed():
    claimed = Frame(User_Id="key of ann", Peer_Address="localhost:1000:1000:77")
    assert account(socket.AF_UNIX, claimed, {"key of ann": 1001}) == 1000
    assert account(socket.AF_UNIX, Frame(User_Id="key of ann"), {"key of ann": 1001}) == NOBODY


def test_a_port_goes_by_the_key_whatever_address_is_claimed():
    claimed = Frame(User_Id="key of ann", Peer_Address="localhost:0:0:77")
    assert account(socket.AF_INET, claimed, {"key of ann": 1001}) == 1001
    assert account(socket.AF_INET, claimed) == NOBODY
