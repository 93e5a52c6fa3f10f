"""The unit files themselves: how far they are shut in, and that they are installed where they belong."""

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


def test_a_persons_units_are_written_and_taken_away(bench):
    out, err = bench.run("service", "install", "--command", "/opt/bin/blockmill")
    written = [Path(line) for line in out.splitlines()]
    folder = bench.folder / "config" / "systemd" / "user"
    assert written == [folder / "blockmill.service", folder / "blockmill.socket"]
    assert "ExecStart=/opt/bin/blockmill serve\n" in written[0].read_text()
    assert "systemctl --user enable --now blockmill" in err
    bench.run("service", "uninstall")
    assert not any(path.exists() for path in written)


def test_what_the_services_account_can_not_reach_is_refused(bench):
    hidden = bench.folder / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "blockmill").touch()
    options = ("--system", "--root", str(bench.folder / "stage"), "--command", str(hidden / "blockmill"))
    _, err = bench.run("service", "install", *options, code=6)
    assert "only some may enter" in err and "/opt/blockmill" in err
