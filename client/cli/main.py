"""The command line: one name, one verb per thing that a person wants.

Its exit codes are those of `exitcodes`. Verbs import what they need when they run, so that
``--help`` answers at once.
"""

from __future__ import annotations

import sys
from typing import Literal

import click

from ... import __version__
from .verbs import administration, cluster, verbs

_INTERRUPTED = 130
_FILE = click.Path(readable=False)  # shells complete it; who reads it tells what is wrong with it


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A job file: {input: cells.json, output: smooth.json, operation: {gaussian: {sigma: 1.5}}}",
)
@click.version_option(__version__, "-V", "--version", prog_name="blockmill")
def cli() -> None:
    """Take volumes of any size through a step, block by block, over worker processes."""


@cli.command()
@click.argument("job_file", metavar="JOB.yaml", type=_FILE)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and do nothing.")
@click.option(
    "-w", "--workers", type=click.IntRange(min=1), help="Worker processes; default: all processors."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary; errors only.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object on stdout.")
def run(
    job_file: str, overwrite: bool, dry_run: bool, workers: int | None, quiet: bool, as_json: bool
) -> None:
    """Run a job file here and now ("-" reads it from stdin).

    Run it again after an interruption and it goes on where it stopped: finished blocks
    are checked by size and checksum and left alone.
    """
    from ...shared.system.compute_threads import have_one_compute_thread

    have_one_compute_thread()
    if dry_run:
        from .verbs.dry_run import dry_run as estimate

        sys.exit(estimate(job_file, workers=workers, as_json=as_json, overwrite=overwrite))
    from .verbs.run import run_job_file

    sys.exit(run_job_file(job_file, overwrite=overwrite, workers=workers, quiet=quiet, as_json=as_json))


@cli.group()
def volume() -> None:
    """Volumes: make samples, look into them, give them out."""


@volume.command()
@click.argument("address", type=_FILE)
@click.option("--shape", default="192,384,384", show_default=True, help="Voxels per axis, z,y,x.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same voxels.")
@click.option("--if-missing", is_flag=True, help="Do nothing where the volume exists.")
def create(address: str, shape: str, seed: int, if_missing: bool) -> None:
    """Write a sample volume that looks like stained cells, as a blockwise fileset."""
    from .verbs.volume.create import create_sample

    sys.exit(create_sample(address, shape, seed, if_missing))


@volume.command()
@click.argument("address", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def info(address: str, as_json: bool) -> None:
    """Say what a volume is: shape, element type, axes, blocks."""
    from .verbs.volume.info import show_info

    sys.exit(show_info(address, as_json))


@volume.command()
@click.argument("address", type=_FILE)
@click.option("-w", "--workers", type=click.IntRange(min=1), help="Processes; default: all processors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def verify(address: str, workers: int | None, as_json: bool) -> None:
    """Check every block of an output against its checksum; 0 if all are there and right."""
    from .verbs.volume.verify import verify_volume

    sys.exit(verify_volume(address, workers, as_json))


@volume.command()
@click.argument("address", type=_FILE)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: any that is free.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["hdf5", "npy", "raw"]),
    default="hdf5",
    show_default=True,
    help="What is sent to those who don't say.",
)
def serve(address: str, host: str, port: int, kind: Literal["hdf5", "npy", "raw"]) -> None:
    """Give out a volume in cut-outs over HTTP, as a RESTfulVolume asks for them, until Ctrl-C."""
    from .verbs.volume.serve import serve_volume

    sys.exit(serve_volume(address, host, port, kind))


@volume.command()
@click.argument("address")
@click.argument("roi")
@click.argument("directory")
@click.option(
    "--format",
    "form",
    type=click.Choice(["single-hdf5", "blockwise-subset"]),
    default="single-hdf5",
    show_default=True,
    help="One file, or copies of whole blocks with a description.",
)
@click.option(
    "--coordinates",
    type=click.Choice(["absolute", "view"]),
    default="view",
    show_default=True,
    help="Whether ROI counts from the origin on disk or of the view.",
)
def export(
    address: str,
    roi: str,
    directory: str,
    form: Literal["single-hdf5", "blockwise-subset"],
    coordinates: str,
) -> None:
    """Write ROI, such as "[(0, 0, 0), (64, 64, 64)]", of a blockwise fileset into DIRECTORY."""
    from .verbs.volume.export import export_volume

    sys.exit(export_volume(address, roi, directory, form, coordinates == "absolute"))


verbs.register(cli)
administration.register(cli)
cluster.register(cli)


def main() -> None:
    """Entry point of ``blockmill``: errors of usage as click tells them, Ctrl-C always as 130."""
    try:
        sys.exit(cli.main(prog_name="blockmill", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)
