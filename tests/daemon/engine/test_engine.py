"""The engine as its owner sees it."""

import threading

import pytest

from blockmill.daemon.engine import engine as engine_module
from blockmill.daemon.engine.engine import Engine
from blockmill.daemon.engine.handle import Ended
from blockmill.daemon.engine.job import JobSpec
from blockmill.shared.errors import EngineError
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.messages import engine as wire


def test_whoever_is_told_of_a_breakdown_finds_the_engine_dead_already(monkeypatch):
    breaks, told = threading.Event(), []

    def nursery(modules):
        assert breaks.wait(30)
        raise OSError("no nursery today")

    monkeypatch.setattr(engine_module, "NurseryProcess", nursery)
    with Engine(1) as engine:
        assert engine.alive
        recipe = wire.Recipe(sources=(wire.Source("in.npy"),))
        spec = JobSpec(recipe=recipe, blocks=BlockGrid(Roi((0,), (40,)), (10,)))
        handle = engine.submit(spec)
        put = handle.put
        monkeypatch.setattr(handle, "put", lambda item: (told.append(engine.alive), put(item)))
        breaks.set()
        while not isinstance(ended := handle.next(30), Ended):
            assert ended is not None
        assert isinstance(ended.error, OSError) and told == [False]
        with pytest.raises(EngineError, match="no nursery today"):
            engine.submit(spec)
