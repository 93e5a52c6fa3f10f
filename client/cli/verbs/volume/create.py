"""``blockmill volume create``: a sample to try things on."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from .....shared.errors import BlockmillError, JobError
from ....formatting.exit_codes import BAD_FILE
from ....formatting.output import complain, say
from ....formatting.progress import display_for
from ... import options
from ...groups import VOLUMES, verb

_MAX_VOXELS = 4 << 30


@verb(VOLUMES, short_help="Write a sample volume of stained cells.")
@click.argument("address", type=options.FILE)
@click.option("--shape", default="192,384,384", show_default=True, help="Voxels per axis, z,y,x.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same voxels.")
@click.option("--if-missing", is_flag=True, help="Do nothing where the volume exists.")
def command(address: str, shape: str, seed: int, if_missing: bool) -> int:
    """Write a sample volume that looks like stained cells, as a blockwise fileset."""
    from ....library.sample_volume import partial_mark

    path = Path(address)
    try:
        _check_address(address)
        extents = _parse_shape(shape)
        if seed < 0:
            raise JobError(f"--seed {seed}: a whole number from 0 on is needed")
        if path.exists() and not partial_mark(path).exists():
            if if_missing:
                return _check_whole(path)
            raise JobError(f"{path} exists; name another file, or remove it with its blocks first")
        _write(path, extents, seed)
    except BlockmillError as error:
        complain(f"blockmill: {error}")
        return BAD_FILE
    say(f"{address}: {'x'.join(map(str, extents))} voxels, uint8")
    return 0


def _check_whole(path: Path) -> int:
    """Refuse a sample of which blocks are missing, as an interrupted call of version 0.1 has left it."""
    from ....library.sample_volume import missing_blocks

    missing, blocks = missing_blocks(path)
    if missing:
        raise JobError(
            f"{path} lacks {missing} of its {blocks} blocks: the call that wrote it was interrupted; "
            f"remove it and the folder {path.stem}_blocks, then run this again"
        )
    return 0


def _write(path: Path, shape: tuple[int, ...], seed: int) -> None:
    """Write the sample, with a bar on a terminal."""
    from ....library.sample_volume import create_sample

    display = display_for(sys.stdout, quiet=not sys.stdout.isatty())

    def show(blocks: int, before: int, done: int, nbytes: int) -> None:
        if not done:
            display.start(blocks, before)
        display.update(done, nbytes)

    try:
        create_sample(path, shape, seed, show)
    except KeyboardInterrupt:
        display.note(f"{path} is not whole yet; the same command goes on")
        raise
    finally:
        display.stop()


def _check_address(address: str) -> None:
    if Path(address).suffix != ".json":
        raise JobError(
            f"{address}: the address must end in .json, since the sample is written as a blockwise fileset: "
            "a description in JSON, and a folder of block files beside it"
        )


def _parse_shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(extent) for extent in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise JobError(f"--shape {text}: three whole numbers above 0 are needed, like 192,384,384")
    if math.prod(shape) > _MAX_VOXELS:
        raise JobError(f"--shape {text}: a sample has at most 4 GiB of voxels of one byte; choose less")
    return shape
