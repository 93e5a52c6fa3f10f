"""Jobs of a thousand million blocks are planned, begun, cancelled and left by the service that ends."""

import h5py
import psutil
import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
SIDE, BLOCK = 1 << 16, 64
BLOCKS = (SIDE // BLOCK) ** 3


@pytest.fixture
def huge(bench):
    """A job of so many blocks; nothing of its input is stored."""
    with h5py.File(bench.folder / "huge.h5", "w") as file:
        file.create_dataset("v", shape=(SIDE,) * 3, dtype="u1", chunks=(BLOCK,) * 3, compression="gzip")
    bench.environ["BLOCKMILL__LIMITS__BLOCKS_PER_USER"] = str(2 * BLOCKS)
    output = {"address": "huge.json", "block_shape": [BLOCK] * 3}
    return bench.job("huge.yaml", input="huge.h5/v", output=output, operation="copy", block_shape=[BLOCK] * 3)


def test_a_dry_run_tells_the_number_of_blocks(bench, huge):
    out, _ = bench.run("run", "--dry-run", huge)
    assert f"{BLOCKS:,}".replace(",", "") in out.replace(",", "").replace(" ", "").replace("'", "")


@pytest.mark.parametrize("flags", [[], ["--overwrite"]], ids=["again", "overwrite"])
@pytest.mark.parametrize("begun", [False, True])
def test_a_submitted_one_is_cancelled_and_the_service_ends(bench, huge, wait_until, begun, flags):
    if begun:
        run = bench.start("run", huge)
        wait_until(lambda: list((bench.folder / "huge_blocks").rglob("STATUS.txt")), "the first block")
        children = bench.children_of(run)
        run.kill()
        run.communicate()
        wait_until(lambda: bench.gone(children), "the end of the workers")
    bench.serve()
    number = bench.submit(huge, overwrite="--overwrite" in flags)
    with bench.client(timeout_s=60) as client:
        wait_until(lambda: client.job(number).state == "running", "its start")
        client.cancel(number)
        assert client.wait(number, timeout_s=60).state == "cancelled"
        assert psutil.Process(bench.service.pid).memory_info().rss < 3 << 30
    bench.end_service()


def test_a_service_with_one_at_work_ends_on_a_signal(bench, huge, wait_until):
    bench.serve()
    number = bench.submit(huge)
    with bench.client(timeout_s=60) as client:
        wait_until(lambda: client.job(number).done > 0, "its first block")
    bench.end_service()
