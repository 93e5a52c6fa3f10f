import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine is, and what else it does, is no property of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of shared material (data sets that the original wrote), which users may lack."""
    named = os.environ.get("BLOCKMILL_SHARED")
    path = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not (path / "fixtures").is_dir():
        pytest.skip(f"there is no {path}/fixtures; set BLOCKMILL_SHARED to where the shared folder lies")
    return path
