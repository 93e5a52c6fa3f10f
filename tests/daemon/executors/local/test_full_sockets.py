"""Supervisor and nursery never wait for each other, however many workers there are.

Hundreds of workers fill the sockets between the two. Here the sockets are small instead.
"""

import socket
import struct
import time

import numpy as np
import pytest

from blockmill import Engine, RoiRequestBatch
from blockmill.daemon.executors.local.nursery import NurseryProcess
from blockmill.daemon.executors.local.supervisor import Supervisor
from blockmill.shared.messages import engine as wire

WORKERS = 24
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _small_sockets(monkeypatch):
    make = socket.socketpair

    def small(*args):
        pair = make(*args)
        for end in pair:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        return pair

    monkeypatch.setattr("blockmill.daemon.executors.local.nursery.socket.socketpair", small)


class SilentNursery(NurseryProcess):
    """Reads nothing until it is asked to."""

    def __init__(self):
        super().__init__()
        self.control.close()
        self.control, self.far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        waits_s = struct.pack("ll", 5, 0)  # a send that would wait for ever fails
        self.control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, waits_s)

    def read(self):
        orders = []
        self.far_end.setblocking(False)
        try:
            while True:
                orders.append(wire.decode_to_nursery(self.far_end.recv(1 << 16)))
        except BlockingIOError:
            return orders

    def close(self, grace_s):
        super().close(grace_s)
        self.far_end.close()


def test_orders_wait_for_room_and_keep_their_order(tmp_path):
    supervisor = Supervisor(200, "ipc://nowhere", tmp_path, SilentNursery)
    nursery = supervisor._nursery
    try:
        supervisor.fill(now_s=0.0)
        supervisor.kill(7, "a test", now_s=0.0)
        orders = nursery.read()
        assert 0 < len(orders) < 200
        while more := (list(supervisor.deaths(0.0)), nursery.read())[1]:
            orders += more
        assert [order.worker for order in orders] == [*range(200), 7]
        assert isinstance(orders[-1], wire.SendSignal)
    finally:
        supervisor.close()


def wait_for(engine, condition):
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition(engine.view.workers):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_many_workers_come_and_go_together():
    voxels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    out = np.zeros_like(voxels)
    rois = [((y, 0), (y + 5, 20)) for y in range(0, 20, 5)]
    engine = Engine(WORKERS)
    try:
        batch = RoiRequestBatch(voxels, rois, operation="copy", engine=engine)
        batch.result_signal.subscribe(lambda roi, array: out.__setitem__(roi.to_slice(), array))
        batch.execute()
        wait_for(engine, lambda workers: len(workers) == WORKERS)
        engine.set_workers(1)
        wait_for(engine, lambda workers: len(workers) == 1)
        engine.set_workers(WORKERS)
        wait_for(engine, lambda workers: len(workers) == WORKERS)
    finally:
        engine._send_command("close")
        engine._thread.join(PATIENCE_S)
        assert not engine._thread.is_alive()
        engine.close()
    np.testing.assert_array_equal(out, voxels)
