"""The unit files themselves: how far they are shut in."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("name", ["blockmill.service", "blockmill@.service"])
def test_units_of_the_machine_are_shut_in(name, tmp_path):
    unit = tmp_path / name
    unit.write_text((UNITS / name).read_text().replace("@BLOCKMILL@", "/usr/bin/true"))
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    level = re.search(r"Overall exposure level for \S+ ([\d.]+)", told)
    assert level is not None, told
    assert float(level[1]) <= 2.0
