from pathlib import Path

import pytest

from blockmill.shared.job import load_job

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_job_file_that_ships_is_a_job(path):
    assert load_job(path).operation.name
