"""Run the demo with the blockmill of the Python that runs this, in an empty folder: `python -P try_demo.py`.

Tries the command's --version, `volume create`, `run` and `man`, and compares the result with scipy's on the
whole volume. With --installed, a blockmill that lies in this checkout is refused.
"""

import argparse
import subprocess
import sys
import tempfile
from importlib import metadata, resources
from pathlib import Path

import numpy as np
from scipy import ndimage

import blockmill
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.registry import open_volume

CHECKOUT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("blockmill")


def run(folder: Path, *words: str) -> str:
    """Run the command in a folder.

    Parameters
    ----------
    folder : Path
    *words : str
        Arguments of the command.

    Returns
    -------
    str
        Its standard output.
    """
    done = subprocess.run(
        [COMMAND, *words], cwd=folder, check=False, capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        sys.exit(f"blockmill {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def read_all(address: Path) -> np.ndarray:
    """Read all voxels of a volume."""
    volume = open_volume(str(address))
    try:
        return volume.read(Roi.from_shape(volume.shape))
    finally:
        volume.close()


def try_demo(folder: Path) -> None:
    """Do in `folder` the same as `make demo` and `make man`, and check the results."""
    version = metadata.version("blockmill")
    assert version in run(folder, "--version"), f"--version doesn't tell {version}"
    configs = folder / "configs"
    configs.mkdir()
    shipped = resources.files("blockmill") / "configs" / "demo.yaml"
    (configs / "demo.yaml").write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    run(folder, "volume", "create", "demo/cells.json", "--shape", "70,100,130")
    run(folder, "run", "configs/demo.yaml", "--quiet")
    cells, smooth = (read_all(folder / "demo" / name) for name in ("cells.json", "smooth.json"))
    expected = ndimage.gaussian_filter(cells, 1.5, output=smooth.dtype)
    assert np.array_equal(smooth, expected), "the result differs from scipy's"
    assert len(run(folder, "man").splitlines()) > 20, "manual pages are missing"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--installed", action="store_true")
    package_file = Path(blockmill.__file__).resolve()
    if (
        parser.parse_args().installed
        and package_file.is_relative_to(CHECKOUT)
        and "site-packages" not in package_file.parts
    ):
        sys.exit(f"blockmill was taken from the checkout: {package_file}")
    with tempfile.TemporaryDirectory(prefix="blockmill-demo-") as scratch:
        try_demo(Path(scratch))
    print(f"the demo runs: Python {sys.version.split()[0]}, numpy {np.__version__}, {package_file.parent}")
