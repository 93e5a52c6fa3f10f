from pathlib import Path

import pytest

from blockmill.shared.config.layers import load_config
from blockmill.shared.jobs.job_file import load_job

CONFIGS = Path(__file__).parent.parent / "configs"
SERVICE = CONFIGS / "daemon.yaml"
JOBS = sorted(set(CONFIGS.glob("*.yaml")) - {SERVICE})


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_every_job_file_that_ships_is_a_job(path):
    assert load_job(path).operation.name


def test_the_configuration_that_ships_sets_what_it_says():
    loaded = load_config(only=SERVICE, environ={})
    assert loaded.config.workers.count == 2
    assert loaded.config.workers.memory_per_worker == 6 << 30
    assert all(origin.startswith(f"{SERVICE}:") for origin in loaded.origins.values())
