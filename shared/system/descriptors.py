"""Open files that one process hands to another over a socket.

Those of the standard library (`socket.send_fds`, `socket.recv_fds`) take flags and ignore them.
"""

from __future__ import annotations

import array
import os
import socket

_SIZE_BYTES = array.array("i").itemsize


def send_file(sock: socket.socket, data: bytes, fd: int) -> None:
    """Send a packet with an open file, without waiting for room.

    Parameters
    ----------
    sock : socket.socket
        A unix socket.
    data : bytes
        1 or more.
    fd : int
        Stays open here.

    Raises
    ------
    BlockingIOError
        If there is no room for it.
    OSError
        If the other side is gone.
    """
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
    sock.sendmsg([data], [rights], socket.MSG_DONTWAIT)


def receive_file(sock: socket.socket, most_bytes: int) -> tuple[bytes, int | None]:
    """Wait for a packet.

    Parameters
    ----------
    sock : socket.socket
        A unix socket.
    most_bytes : int
        What is longer is cut.

    Returns
    -------
    bytes, int or None
        The packet, empty at the end, and the descriptor of the file that came with it. The caller closes
        that; programs that are started do not inherit it.
    """
    data, ancillary, _, _ = sock.recvmsg(most_bytes, socket.CMSG_LEN(_SIZE_BYTES), socket.MSG_CMSG_CLOEXEC)
    files = array.array("i")
    for level, kind, rights in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            files.frombytes(rights[: len(rights) - len(rights) % _SIZE_BYTES])
    for surplus in files[1:]:
        os.close(surplus)
    return data, files[0] if files else None
