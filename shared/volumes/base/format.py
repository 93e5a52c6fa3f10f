"""The interface of a format: what its addresses look like, and how its volumes are read and written.

A format is one module with one class. It imports the libraries that it needs inside of its methods: all
formats are asked whether an address is theirs, by programs that never open a volume.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from ...errors import JobError, OutputRefused, StorageError
from ...files.atomic import remove_if_there, rename_without_replacing, sync_file
from ...files.fingerprints import file_state
from ...files.places import Place
from ...files.refusals import refusal_of, storage_errors
from ...geometry.grid import BlockGrid
from ...geometry.roi import Roi, Shape
from .api import Volume
from .array_volume import ArrayVolume
from .claims import Claims
from .info import Meaning
from .look import Look

if TYPE_CHECKING:
    from .output_options import OutputOptions

Durability = Literal["none", "block"]


@dataclass(frozen=True, slots=True)
class Address:
    """The place of a volume.

    Attributes
    ----------
    format : str
        Name of the format.
    file : str
        Path on disk: of a file, or of a folder that is a volume.
    internal : str
        Path inside the file, without a leading slash; else empty.
    """

    format: str
    file: str
    internal: str = ""

    def __str__(self) -> str:
        return f"{self.file}/{self.internal}" if self.internal else self.file

    def at(self, file: Path) -> Address:
        """The same volume in another file."""
        return Address(self.format, str(file), self.internal)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVolume:
    """What a new volume is to be.

    Attributes
    ----------
    shape : tuple of int
        Voxels per axis.
    dtype : numpy.dtype
    meaning : Meaning
        Axes, voxel size, origin, range of the voxels.
    unit : tuple of int or None
        Voxels per axis of a storage unit, as `Format.write_unit` gave it.
    options : OutputOptions
        Those of the format, as the job has them.
    label : str or None
        A name for people.
    """

    shape: Shape
    dtype: np.dtype
    meaning: Meaning
    unit: Shape | None
    options: Any
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCost:
    """What an output takes on disk beside its voxels.

    Attributes
    ----------
    by_unit : bool
        True if each storage unit is a file of its own; False: the volume is one file.
    files_per_unit, bytes_per_unit : int
        Of a storage unit; of the whole volume if it is one file.
    files_beside : int
        Other files: descriptions and records.
    padded : bool
        Units at the rim take as many bytes as the others.
    """

    by_unit: bool = False
    files_per_unit: int = 1
    bytes_per_unit: int = 8 << 10
    files_beside: int = 2
    padded: bool = False


class WritableVolume(Volume, Protocol):
    """A volume that is open for writing."""

    def flush(self) -> None:
        """Hand all writes to the system: they outlive the process from here on."""
        ...


class Format(ABC):
    """One format of volumes: its addresses, and how its volumes are made, read and written.

    Attributes
    ----------
    name : str
        As in ``format: zarr``; for a format that an installed package adds, also that of its entry point.
    spelling : str
        An address in quotes, and what it is, for the list of what is supported.
    spelling_tells : bool
        True if what is spelled so is of this format; False if files of others have such names, too.
    writers : {"workers", "merger"} or None
        Whether workers write an output, or one process that merges their results; None: the format is
        only read.
    keeps_status : bool
        True if volumes note themselves, beside each block, that it is finished. An output of such a
        format has its name from the beginning, and its format is a `StatusFormat`. Any other grows as
        ``partial`` in the hidden folder, where a ledger notes its finished blocks.
    io_threads : bool
        True if a library of the format reads or writes in threads of its own.
    unrecorded : str
        The reason why volumes have no checksums that a job has left, if they never have any.
    holds_table : bool
        True for tables, which are the outputs of some operations and no volumes.
    in_workers : bool
        False for a format that the calling process alone knows.
    cost : DiskCost
    """

    name: str
    spelling: ClassVar[str] = ""
    spelling_tells: ClassVar[bool] = True
    writers: ClassVar[Literal["workers", "merger"] | None] = None
    keeps_status: ClassVar[bool] = False
    io_threads: ClassVar[bool] = False
    unrecorded: ClassVar[str] = ""
    holds_table: ClassVar[bool] = False
    in_workers: bool = True
    cost: ClassVar[DiskCost] = DiskCost()

    def load(self) -> None:  # noqa: B027 - a format may need nothing
        """Import what volumes of this format need; a process that has given up rights may not be able to.

        Libraries that have threads of their own, or are large, stay out.
        """

    def load_library(self) -> None:  # noqa: B027 - see `load`
        """Import the library whose threads use files; called in workers alone, which never fork."""

    # -- addresses ------------------------------------------------------------------

    def parse(self, path: str) -> Address | None:
        """The address that a path spells, for an output, which need not exist yet.

        Parameters
        ----------
        path : str

        Returns
        -------
        Address or None
            None if it is no address of this format.

        Raises
        ------
        JobError
            If it is one, and something is missing in it.
        """
        return None

    def recognise(self, look: Look) -> Address | None:
        """The address of what lies on disk, by its content; of files that the path spells alone, None.

        Parameters
        ----------
        look : Look

        Returns
        -------
        Address or None

        Raises
        ------
        JobError
            As `parse`.
        """
        return None

    # -- reading --------------------------------------------------------------------

    @abstractmethod
    def open(self, at: Address) -> ArrayVolume:
        """Open a volume for reading; a missing or odd one is an error now.

        Raises
        ------
        JobError
            If it is none of this format.
        StorageError
            If the system refuses.
        """

    def open_live(self, at: Address, extent: Shape | None) -> ArrayVolume:
        """Open a volume that another program is writing.

        Parameters
        ----------
        at : Address
        extent : tuple of int or None
            Voxels per axis that are read; None: those that there are now.

        Returns
        -------
        ArrayVolume

        Raises
        ------
        JobError
            If the format has no such thing.
        """
        raise JobError(f"input.live: only HDF5 files can be read while they are written, not {at.file}")

    def check_there(self, at: Address, text: str) -> None:
        """Check that there is something to open.

        Parameters
        ----------
        at : Address
        text : str
            The address as it was written.

        Raises
        ------
        JobError
            If there is nothing, or something else.
        StorageError
            If the system refuses to look.
        """
        try:
            mode = os.stat(at.file).st_mode  # noqa: PTH116 - unlike Path.is_file it tells closed folders apart
        except (FileNotFoundError, NotADirectoryError):
            raise JobError(f"{at.file} does not exist; the address {text!r} names it") from None
        except OSError as error:
            raise StorageError(refusal_of("read", at.file, error)) from error
        if not stat.S_ISREG(mode):
            raise JobError(f"{at.file} is no file; the address {text!r} names it")

    def reads(self, at: Address, *, follow_links: bool = True) -> Claims:
        """Files and folders that a job reads from an input.

        A file that can't be opened counts by itself alone; the error comes when it is read.

        Parameters
        ----------
        at : Address
        follow_links : bool
            Open the input to find other files that it leads to.

        Returns
        -------
        Claims
        """
        return Claims((Place.of(at.file),))

    def state(self, at: Address, reads: Claims) -> Iterable[bytes]:
        """What says that an input is as it was: sizes, times and inodes of its files.

        Parameters
        ----------
        at : Address
        reads : Claims
            As from `reads`.

        Yields
        ------
        bytes
        """
        return (file_state(place.path) for place in reads.files)

    # -- an output ------------------------------------------------------------------

    def options(self) -> type[OutputOptions]:
        """The keys below ``output:``, a model of pydantic, which only programs that read jobs import."""
        from .output_options import OutputOptions

        return OutputOptions

    def check_options(self, at: Address, options: Any) -> None:
        """Refuse settings that don't go with each other, or not with the address.

        Parameters
        ----------
        at : Address
        options : OutputOptions

        Raises
        ------
        JobError
        """
        if self.writers is None:
            raise JobError(f"output: {at}: {self.name} volumes can be read, and not written")

    def write_unit(self, options: Any, shape: Shape, axes: str) -> Shape | None:
        """Extent of what one worker should write as a whole; None: any block.

        Parameters
        ----------
        options : OutputOptions
        shape : tuple of int
            Voxels per axis of the output.
        axes : str
            One letter per axis.

        Returns
        -------
        tuple of int or None

        Raises
        ------
        JobError
            If the settings are for another number of axes.
        """
        return None

    def claims(self, at: Address) -> Claims:
        """Files and folders that an output is, whether it exists yet or not; that with its name first."""
        return Claims((Place.of(at.file),))

    def create(self, at: Address, new: NewVolume, *, reserve: bool = True) -> None:
        """Make an empty volume where nothing is yet.

        Parameters
        ----------
        at : Address
        new : NewVolume
        reserve : bool
            Reserve the space of its voxels on disk, if the format can do that.

        Raises
        ------
        OutputRefused
            If something is there.
        StorageError
            If it can't be made; nothing is left then.
        """
        raise NotImplementedError

    def open_to_write(self, at: Address, *, job: str = "", durability: Durability = "none") -> Any:
        """Open an existing volume for writing.

        Parameters
        ----------
        at : Address
        job : str
            Name of the job, for formats that note it with each block.
        durability : {"none", "block"}
            With "block", a block is on the medium when `write` returns.

        Returns
        -------
        WritableVolume

        Raises
        ------
        JobError, StorageError
            As `open`.
        """
        raise NotImplementedError

    def inside(self, at: Address) -> str | None:
        """The path inside the file that a job of an earlier version has written; None if that is unknown."""
        return None

    def check_replaceable(self, at: Address, check: Callable[[], None]) -> None:
        """Check that replacing what exists destroys nothing but this volume.

        Parameters
        ----------
        at : Address
        check : callable
            Raises if the run is interrupted.

        Raises
        ------
        OutputRefused
            If it holds other data, or is something else.
        """
        refuse_odd_file(Path(at.file))

    def remove(
        self, at: Address, new: NewVolume, check: Callable[[], None], tell: Callable[[str], None]
    ) -> None:
        """Remove an existing volume and nothing else; `check_replaceable` comes before.

        Parameters
        ----------
        at : Address
        new : NewVolume
            What is to be made in its place.
        check : callable
            Raises if the run is interrupted; the next run removes the rest.
        tell : callable
            Takes a line for people, if it takes long.
        """
        with storage_errors("remove", at.file):
            remove_if_there(at.file)

    def give_name(self, partial: Address, at: Address) -> None:
        """Bring a whole volume to the medium, and give it its name.

        Parameters
        ----------
        partial, at : Address
            On one file system.

        Raises
        ------
        FileExistsError
            If something has that name.
        OSError
            If the system refuses.
        """
        sync_file(partial.file)
        rename_without_replacing(partial.file, at.file)

    def reuses_space(self, new: NewVolume) -> bool:
        """True if a kill can let the library write over voxels of earlier blocks, so that these are compared.

        Parameters
        ----------
        new : NewVolume

        Returns
        -------
        bool
        """
        return False

    def sweep(self, at: Address, roi: Roi | None = None) -> int:
        """Remove what dead writers have left of the blocks that `roi` touches (default: all).

        Parameters
        ----------
        at : Address
        roi : Roi, optional

        Returns
        -------
        int
            Number of files that were removed.
        """
        return 0

    def voxel_files(self, at: Address) -> Iterable[Path]:
        """The files of an output that hold voxels."""
        return (Path(at.file),)


class StatusFormat(Format):
    """A format whose volumes note beside each block that it is finished, and which job wrote it."""

    keeps_status: ClassVar[bool] = True

    @abstractmethod
    def has_finished_blocks(self, at: Address) -> bool:
        """True if any block is there; False only if it is certain that none is."""

    @abstractmethod
    def written_by(self, at: Address, job: str) -> bool:
        """Test if a block names this job: the volume may have been moved without its record."""

    @abstractmethod
    def count_finished(self, at: Address, grid: BlockGrid, most: int) -> int | None:
        """Number of task blocks that are finished, without a look at their voxels.

        Parameters
        ----------
        at : Address
        grid : BlockGrid
            Of task blocks.
        most : int
            Number of stored blocks beyond which they are not counted.

        Returns
        -------
        int or None
            None if there are too many.
        """

    @abstractmethod
    def take_up(self, at: Address, new: NewVolume) -> None:
        """Check that an existing volume is laid out as this job would make it, and go on with it.

        Parameters
        ----------
        at : Address
        new : NewVolume

        Raises
        ------
        OutputRefused
            If it is another one now.
        """

    @abstractmethod
    def place_of_blocks(self, at: Address) -> Place:
        """The folder of the blocks, to see whether it is exchanged while a job runs."""


def refuse_odd_file(path: Path) -> None:
    """Refuse to replace a folder or a device; only a file or a link can be an output."""
    if os.path.lexists(path) and not (path.is_symlink() or path.is_file()):
        what = "a folder" if path.is_dir() else "no regular file"
        raise OutputRefused(f"{path} is {what}, which is never replaced; move it, or name another output")


def checked_extent(extent: Shape | None, shape: Shape, key: str) -> Shape | None:
    """An extent from a job, if it has an entry for each axis of the volume.

    Parameters
    ----------
    extent : tuple of int or None
    shape : tuple of int
        Of the volume.
    key : str
        Its place in the job file.

    Returns
    -------
    tuple of int or None

    Raises
    ------
    JobError
    """
    if extent is not None and len(extent) != len(shape):
        raise JobError(f"{key}: {list(extent)} has {len(extent)} axes, the volume has {len(shape)}")
    return None if extent is None else tuple(extent)
