"""Removal of the files that dead runs have left of an output, and of nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ....shared.errors import BlockmillError
from ....shared.files.atomic import PARTIAL_MARK, remove_if_there
from ....shared.files.places import absolute
from ....shared.files.refusals import storage_errors
from ....shared.locking.filelock import FileLock, stale
from ....shared.volumes.claims import stages_folder
from ....shared.volumes.registry import Address, format_of
from .output_files import OutputFiles, stages_lock
from .scratch_output import DRY_RUN_PREFIX, owner_lock


@dataclass(slots=True)
class CleaningReport:
    """The result of a cleaning.

    Attributes
    ----------
    removed : list of str
        Files and folders that were removed, or their number.
    kept : list of str
        Files that may still be of use, each with the reason.
    """

    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def clean(address: Address, *, unfinished: bool = False) -> CleaningReport:
    """Remove the files that dead runs have left of the output at an address.

    These are locks and partial files whose writer is dead, folders of dry runs that were killed, and the
    record of an output that is gone. Voxels with which a later run can resume stay.

    Parameters
    ----------
    address : Address
        Address of the output, which need not exist any more.
    unfinished : bool
        Also remove the blocks that an unfinished run has merged, so that the next run begins anew.

    Returns
    -------
    CleaningReport

    Raises
    ------
    OutputRefused
        If a run holds the output.
    StorageError
        If something can't be removed.
    """
    output = Path(address.file)
    files, report = OutputFiles(output), CleaningReport()
    _clean_dry_runs(output.parent, report)
    if old_paths := set(files.present()):
        with files.held():
            _clean_records(files, address, unfinished, report)
        report.removed += [str(path) for path in sorted(old_paths.difference(files.present()))]
    if count := sweep(address):
        where = absolute(address.file)
        report.removed.append(f"{count} partial files and locks of dead writers in {where}")
    return report


def sweep(address: Address) -> int:
    """Remove what dead writers have left between the blocks of an output, or of what it grows as.

    Parameters
    ----------
    address : Address

    Returns
    -------
    int
        Number of files that were removed.

    Raises
    ------
    BlockmillError
        If the output can't be read.
    """
    partial = OutputFiles(Path(address.file)).partial
    places = [address.at(path) for path in (Path(address.file), partial) if path.exists()]
    return sum(format_of(address).sweep(place) for place in places)


def _clean_records(files: OutputFiles, address: Address, unfinished: bool, report: CleaningReport) -> None:
    """Tidy the hidden folder, whose lock the caller holds."""
    for path in files.present():
        if PARTIAL_MARK in path.name or (".lock-" in f".{path.name}" and stale(path)):
            with storage_errors("remove", path):
                remove_if_there(str(path))
    _clean_stages(stages_folder(files.output), unfinished, report)
    try:
        record = files.read_record()
    except BlockmillError as error:  # it is another program's, or of a later version, and so must stay
        report.kept.append(str(error))
        return
    own = format_of(address).claims(address)
    if record is None or any(Path(place.path).exists() for place in own.places()):
        return
    if not files.partial.exists() or unfinished:
        files.forget()
    else:
        report.kept.append(f"{files.partial}, with which the next run goes on; --unfinished removes it")


def _clean_stages(folder: Path, unfinished: bool, report: CleaningReport) -> None:
    """Remove the temporary volumes of a job that is not done, if no run has them."""
    if not folder.is_dir():
        return
    if not unfinished:
        report.kept.append(f"{folder}, with which the next run goes on; --unfinished removes it")
        return
    lock = stages_lock(folder)
    if not lock.acquire(blocking=False):
        report.kept.append(f"{folder}, which a run is using")
        return
    try:
        with storage_errors("remove", folder):
            shutil.rmtree(folder)
    finally:
        lock.release()


def _clean_dry_runs(folder: Path, report: CleaningReport) -> None:
    """Remove folders of dry runs whose process is dead."""
    for path, lock in _dry_runs(folder):
        if lock.acquire(blocking=False):
            lock.release()
            with storage_errors("remove", path):
                shutil.rmtree(path)
            report.removed.append(str(path))


def _dry_runs(folder: Path) -> Iterator[tuple[Path, FileLock]]:
    for path in sorted(folder.glob(f"{DRY_RUN_PREFIX}*")):
        if path.is_dir() and not path.is_symlink():
            lock = owner_lock(path)
            if Path(lock.lock_path).exists():  # without one it may be anybody's
                yield path, lock
