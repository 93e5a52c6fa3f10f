"""A blockwise fileset whose missing blocks are fetched from a server when they are read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ...errors import BlockmillError, CorruptBlock, DownloadFailed, JobError, MissingBlock
from ...geometry.roi import Roi, Shape
from ...geometry.slicing import AnyRoi
from ..blockwise.description import FilesetDescription
from ..blockwise.fileset import BlockwiseFileset
from ..blockwise.writer import fill_block
from .description import RESTfulFilesetDescription, read_fileset_description
from .fetch import DownloadSettings
from .volume import RESTfulVolume


@dataclass(slots=True)
class Downloads:
    """The result of `RESTfulBlockwiseFileset.download_all`.

    Attributes
    ----------
    present : int
        Blocks that were there before.
    downloaded : int
        Blocks that are there now.
    failed : dict
        Of the others: first corner in the view, and the reason.
    """

    present: int = 0
    downloaded: int = 0
    failed: dict[Shape, BlockmillError] = field(default_factory=dict)


class RESTfulBlockwiseFileset(BlockwiseFileset):
    """A fileset on disk as a cache of a volume of a server; open for reading only.

    A read downloads the blocks that are missing, several at a time, and each of them once,
    however many threads and processes want it: who has the block's lock downloads, the
    others wait for the lock and find the block (the original polls every 5 s). A dead downloader's
    lock is taken over at once, and who waits for one that fails tries for itself; the
    original waits for ever in both cases. Blocks are written as by `BlockwiseFileset.write`: whole,
    though a view may show but a part (the original clips them to the view, under the name of the whole
    block), with axistags, checksum and status. A read whose blocks are all there costs what it
    costs in any fileset.

    Parameters
    ----------
    description_path : str or path
        The composite description.
    transfer : DownloadSettings, optional
        Time-outs, retries, headers, token.
    max_parallel : int
        Downloads at a time in one read (the original: all of them).
    **options
        As for `BlockwiseFileset`, except the mode. `lock_timeout_s`, by default the deadline of a
        download and a bit, is how long another's download is waited for.

    Raises
    ------
    JobError
        If the description is missing or wrong, or its two parts don't fit each other.
    """

    def __init__(
        self,
        description_path: str | os.PathLike[str],
        transfer: DownloadSettings | None = None,
        *,
        max_parallel: int = 4,
        **options: Any,
    ) -> None:
        transfer = transfer or DownloadSettings()
        if max_parallel < 1:
            raise JobError(f"max_parallel is {max_parallel}, expected 1 or more")
        options = {"copy_description": False, "lock_timeout_s": transfer.deadline_s + 30, **options}
        super().__init__(description_path, "r", **options)
        self._remote = RESTfulVolume(self._composite.remote_description, transfer)
        self._max_parallel = max_parallel

    def _read_description(self, path: str) -> FilesetDescription:
        self._composite = read_fileset_description(path)
        return self._composite.local_description

    @property
    def composite_description(self) -> RESTfulFilesetDescription:
        """The description as it was read, with both its parts; `description` is the local one."""
        return self._composite

    def read(self, roi: AnyRoi = None, out: Any = None) -> Any:
        """Read the voxels of `roi`, after downloading the blocks that are missing.

        Parameters
        ----------
        roi : Roi, pair of corners or slicing, optional
            In voxels of the view. Default: all.
        out : ndarray or h5py.Dataset of shape ``roi.shape``, optional
            Filled, with numpy's unsafe casting if its dtype differs.

        Returns
        -------
        ndarray of shape ``roi.shape``
            `out` if it was given, else a new array of the fileset's dtype.

        Raises
        ------
        DownloadFailed
            If the server does not deliver a block, with the cause (the original hides it, and reports
            that the block is not ready). Blocks that were downloaded before stay.
        OutOfBounds, CorruptBlock, LockTimeout, StorageError
            As for `BlockwiseFileset.read`.
        """
        try:
            return super().read(roi, out)
        except (MissingBlock, CorruptBlock):
            self.download(roi)
        return super().read(roi, out)

    def download(self, roi: AnyRoi = None) -> None:
        """Download the blocks that share a voxel with `roi` (default: all) and are not there.

        Raises
        ------
        DownloadFailed, LockTimeout, StorageError
            The first failure; downloads beside it are ended.
        """
        stop = threading.Event()
        wanted = self.blocks.view.checked(roi)
        missing = [block for block in self.blocks.view.touching(wanted) if not self.store.sound(block)]
        _in_threads(missing, lambda block: self._fill(block, stop), self._max_parallel, stop)

    def download_all(self, max_parallel: int = 4) -> Downloads:
        """Download all missing blocks of the view; what fails keeps nothing else from being done.

        Parameters
        ----------
        max_parallel : int
            Downloads at a time; so many blocks are in memory.

        Returns
        -------
        Downloads
            The original returns nothing, and after a failure leaves blocks undone.
        """
        report, lock, stop = Downloads(), threading.Lock(), threading.Event()

        def get(block: Roi) -> None:
            error, downloaded = None, False
            try:
                downloaded = not self.store.sound(block) and self._fill(block, stop)
            except BlockmillError as failure:
                error = failure
            with lock:
                report.downloaded += downloaded
                report.present += not downloaded and error is None
                if error is not None:
                    report.failed[self.blocks.view.start_of(block)] = error

        _in_threads(self.blocks.view.touching(self.blocks.view.view), get, max_parallel, stop)
        return report

    def _fill(self, block: Roi, stop: threading.Event) -> bool:
        """Download a block, given in absolute voxels. Returns False if another was quicker."""
        try:
            return fill_block(self.store, block, lambda: self._remote.read(block, stop=stop))
        except DownloadFailed as error:
            raise DownloadFailed(
                f"block {list(self.blocks.view.start_of(block))} of {self.address}: {error}"
            ) from error

    def close(self) -> None:
        """Close connections; closing twice is harmless."""
        self._remote.close()


def _in_threads(
    blocks: Iterable[Roi], work: Callable[[Roi], object], max_parallel: int, stop: threading.Event
) -> None:
    """Do `work` for each of `blocks`, which are never listed; the first error ends it and is raised.

    `stop` is set then, also where the caller is interrupted, so that running work can end early.
    """
    pending, lock, failures = iter(blocks), threading.Lock(), list[BaseException]()

    def do_some() -> None:
        while not stop.is_set():
            with lock:
                block = next(pending, None)
            if block is None:
                return
            try:
                work(block)
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
                failures.append(error)
                stop.set()

    with ThreadPoolExecutor(max_parallel, "blockmill-download") as pool:
        try:
            for future in [pool.submit(do_some) for _ in range(max_parallel)]:
                future.result()
        except BaseException:
            stop.set()
            raise
    if failures:
        raise failures[0]
