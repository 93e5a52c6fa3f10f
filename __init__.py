"""blockmill: take volumes of any size through a step, block by block, over worker processes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockmill.client.library.batch import RoiRequestBatch
    from blockmill.client.library.parallel import ParallelVolume
    from blockmill.client.library.slices import RoiRequestBufferIter
    from blockmill.client.library.streamer import BigRequestStreamer
    from blockmill.client.library.work import RoiRequestBatchCancelled, RoiRequestBatchError
    from blockmill.client.service.async_client import AsyncClient
    from blockmill.client.service.client import Client
    from blockmill.daemon.engine.engine import Engine
    from blockmill.shared.geometry.grid import BlockGrid
    from blockmill.shared.geometry.roi import Roi
    from blockmill.shared.jobs.job import Job, load_job
    from blockmill.shared.lazyflow.blockshapes import (
        determine_block_shape,
        determine_optimal_request_block_shape,
    )
    from blockmill.shared.lazyflow.jsonconfig import JsonConfigParser, Namespace
    from blockmill.shared.lazyflow.jsonfields import AutoEval, FormattedField, RoiTuple
    from blockmill.shared.lazyflow.paths import PathComponents, get_path_variants
    from blockmill.shared.lazyflow.roitools import (
        blockwise_view,
        containing_rois,
        enlarge_roi_for_halo,
        get_block_bounds,
        get_intersecting_blocks,
        get_intersecting_rois,
        get_intersection,
        nonzero_bounding_box,
        roi_to_slice,
        slice_to_roi,
    )
    from blockmill.shared.lazyflow.signal import OrderedSignal
    from blockmill.shared.lazyflow.tinyvector import TinyVector
    from blockmill.shared.lazyflow.trace import Tracer, trace_logged
    from blockmill.shared.locking.filelock import FileLock
    from blockmill.shared.messages.records import BlockFailure, JobInfo, LogLine, WorkerInfo
    from blockmill.shared.messages.service import ServiceInfo
    from blockmill.shared.volumes.blockwise.description import FilesetDescription
    from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
    from blockmill.shared.volumes.formats import open_volume
    from blockmill.shared.volumes.restful.fileset import RESTfulBlockwiseFileset
    from blockmill.shared.volumes.restful.volume import RESTfulVolume

__version__ = "0.1.0"

_HOMES = {
    "Tracer": "shared.lazyflow.trace",
    "trace_logged": "shared.lazyflow.trace",
    "PathComponents": "shared.lazyflow.paths",
    "get_path_variants": "shared.lazyflow.paths",
    "JsonConfigParser": "shared.lazyflow.jsonconfig",
    "Namespace": "shared.lazyflow.jsonconfig",
    "AutoEval": "shared.lazyflow.jsonfields",
    "FormattedField": "shared.lazyflow.jsonfields",
    "RoiTuple": "shared.lazyflow.jsonfields",
    "TinyVector": "shared.lazyflow.tinyvector",
    "slice_to_roi": "shared.lazyflow.roitools",
    "roi_to_slice": "shared.lazyflow.roitools",
    "get_intersection": "shared.lazyflow.roitools",
    "get_block_bounds": "shared.lazyflow.roitools",
    "get_intersecting_blocks": "shared.lazyflow.roitools",
    "get_intersecting_rois": "shared.lazyflow.roitools",
    "enlarge_roi_for_halo": "shared.lazyflow.roitools",
    "nonzero_bounding_box": "shared.lazyflow.roitools",
    "containing_rois": "shared.lazyflow.roitools",
    "blockwise_view": "shared.lazyflow.roitools",
    "determine_block_shape": "shared.lazyflow.blockshapes",
    "determine_optimal_request_block_shape": "shared.lazyflow.blockshapes",
    "AsyncClient": "client.service.async_client",
    "BlockFailure": "shared.messages.records",
    "Client": "client.service.client",
    "JobInfo": "shared.messages.records",
    "LogLine": "shared.messages.records",
    "ServiceInfo": "shared.messages.service",
    "WorkerInfo": "shared.messages.records",
    "BigRequestStreamer": "client.library.streamer",
    "BlockGrid": "shared.geometry.grid",
    "BlockwiseFileset": "shared.volumes.blockwise.fileset",
    "Engine": "daemon.engine.engine",
    "FileLock": "shared.locking.filelock",
    "FilesetDescription": "shared.volumes.blockwise.description",
    "Job": "shared.jobs.job",
    "OrderedSignal": "shared.lazyflow.signal",
    "RESTfulBlockwiseFileset": "shared.volumes.restful.fileset",
    "RESTfulVolume": "shared.volumes.restful.volume",
    "Roi": "shared.geometry.roi",
    "ParallelVolume": "client.library.parallel",
    "RoiRequestBatch": "client.library.batch",
    "RoiRequestBatchCancelled": "client.library.work",
    "RoiRequestBatchError": "client.library.work",
    "RoiRequestBufferIter": "client.library.slices",
    "load_job": "shared.jobs.job",
    "open_volume": "shared.volumes.formats",
}

__all__ = [
    "AsyncClient",
    "AutoEval",
    "BigRequestStreamer",
    "BlockFailure",
    "BlockGrid",
    "BlockwiseFileset",
    "Client",
    "Engine",
    "FileLock",
    "FilesetDescription",
    "FormattedField",
    "Job",
    "JobInfo",
    "JsonConfigParser",
    "LogLine",
    "Namespace",
    "OrderedSignal",
    "ParallelVolume",
    "PathComponents",
    "RESTfulBlockwiseFileset",
    "RESTfulVolume",
    "Roi",
    "RoiRequestBatch",
    "RoiRequestBatchCancelled",
    "RoiRequestBatchError",
    "RoiRequestBufferIter",
    "RoiTuple",
    "ServiceInfo",
    "TinyVector",
    "Tracer",
    "WorkerInfo",
    "__version__",
    "blockwise_view",
    "containing_rois",
    "determine_block_shape",
    "determine_optimal_request_block_shape",
    "enlarge_roi_for_halo",
    "get_block_bounds",
    "get_intersecting_blocks",
    "get_intersecting_rois",
    "get_intersection",
    "get_path_variants",
    "load_job",
    "nonzero_bounding_box",
    "open_volume",
    "roi_to_slice",
    "slice_to_roi",
    "trace_logged",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import blockmill`` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'blockmill' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"blockmill.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
