"""blockmill: take volumes of any size through a step, block by block, over worker processes."""

import importlib as _importlib

__version__ = "0.2.0.dev0"

# The public names by the module that each lies in. `__init__.pyi` tells type checkers and editors the same.
_NAMES = {
    "client.library.batch": "RoiRequestBatch",
    "client.library.parallel": "ParallelVolume",
    "client.library.slices": "RoiRequestBufferIter",
    "client.library.streamer": "BigRequestStreamer",
    "client.library.work": "RoiRequestBatchCancelled RoiRequestBatchError",
    "client.service.async_client": "AsyncClient",
    "client.service.client": "Client",
    "daemon.engine.engine": "Engine",
    "shared.errors": "BlockError BlockmillError ConfigError CorruptBlock DamagedInput DownloadFailed"
    " EngineError JobError JobFileError LockLost LockTimeout MissingBlock NoSuchJob OutOfBounds OutputRefused"
    " Refused ServiceUnreachable StorageError WaitTimeout WireError",
    "shared.files.schema": "ParsingError SchemaError",
    "shared.geometry.grid": "BlockGrid",
    "shared.geometry.roi": "Roi RoiLike",
    "shared.geometry.slicing": "slice_to_roi",
    "shared.jobs.job": "Job",
    "shared.jobs.job_file": "load_job",
    "shared.jobs.staged": "StagedJob",
    "shared.lazyflow.blockshapes": "determine_block_shape determine_optimal_request_block_shape",
    "shared.lazyflow.jsonconfig": "JsonConfigParser Namespace",
    "shared.lazyflow.jsonfields": "AutoEval FormattedField RoiTuple",
    "shared.lazyflow.paths": "PathComponents get_path_variants",
    "shared.lazyflow.roitools": "blockwise_view containing_rois enlarge_roi_for_halo get_block_bounds"
    " get_intersecting_blocks get_intersecting_rois get_intersection nonzero_bounding_box roi_to_slice",
    "shared.lazyflow.signal": "OrderedSignal",
    "shared.lazyflow.tinyvector": "TinyVector",
    "shared.lazyflow.trace": "Tracer trace_logged",
    "shared.locking.filelock": "FileLock",
    "shared.messages.records": "BlockFailure JobInfo LogLine WorkerInfo",
    "shared.messages.replies": "ServiceInfo",
    "shared.volumes.base.api": "Volume",
    "shared.volumes.blockwise.description": "FilesetDescription",
    "shared.volumes.blockwise.fileset": "BlockwiseFileset",
    "shared.volumes.registry": "open_volume",
    "shared.volumes.hdf5.datasets": "glob_datasets list_datasets",
    "shared.volumes.restful.fileset": "RESTfulBlockwiseFileset",
    "shared.volumes.restful.volume": "RESTfulVolume",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = sorted(["__version__", *_HOMES])


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that ``import blockmill`` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'blockmill' has no attribute {name!r}")
    value = getattr(_importlib.import_module(f"blockmill.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, also those that have not been asked for yet."""
    return list(__all__)
