"""The engine of a service: what is told when it breaks down."""

import time
from pathlib import Path

import psutil

from blockmill.daemon.service.engine_keeper import EngineKeeper
from blockmill.daemon.service.settings import Settings
from blockmill.shared.operations.registry import operation_class, operation_names, preloads


def test_an_engine_that_breaks_down_while_nobody_uses_it_is_replaced_and_the_cause_told(caplog):
    keeper = EngineKeeper(Settings(socket=Path("s"), state_dir=Path("state"), workers=1))
    try:
        deadline_s = time.monotonic() + 60
        while not (nurseries := nurseries_here()):
            assert time.monotonic() < deadline_s
        nurseries[0].kill()
        while keeper.engine is not None:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        keeper.replace_broken(1000.0, in_use=False)
        assert "the nursery of the workers ended" in keeper.trouble
        assert "the nursery of the workers ended" in caplog.text
        assert keeper.engine is None
        keeper.replace_broken(1001.0, in_use=False)
        assert keeper.engine is not None
    finally:
        keeper.close()


def nurseries_here():
    return [p for p in psutil.Process().children() if "workers.nursery" in str(p.cmdline())]


def test_workers_of_a_service_share_all_kernels_so_that_none_is_loaded_from_files_that_were_replaced():
    kinds = [operation_class(name) for name in operation_names()]
    kernels = {kind.kernel.partition(":")[0] for kind in kinds if kind.__module__.startswith("blockmill.")}
    assert len(kernels) > 5
    assert kernels <= set(preloads())
