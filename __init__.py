"""blockmill: take volumes of any size through a step, block by block, over worker processes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockmill.client.api import Client
    from blockmill.client.asyncapi import AsyncClient
    from blockmill.client.blockwork import RoiRequestBatchCancelled, RoiRequestBatchError
    from blockmill.client.bufferiter import RoiRequestBufferIter
    from blockmill.client.parallel import ParallelVolume
    from blockmill.client.requests import RoiRequestBatch
    from blockmill.client.streamer import BigRequestStreamer
    from blockmill.daemon.engine import Engine
    from blockmill.shared.blockshapes import determine_block_shape, determine_optimal_request_block_shape
    from blockmill.shared.filelock import FileLock
    from blockmill.shared.grid import BlockGrid
    from blockmill.shared.job import Job, load_job
    from blockmill.shared.jsonconfig import JsonConfigParser, Namespace
    from blockmill.shared.jsonfields import AutoEval, FormattedField, RoiTuple
    from blockmill.shared.paths import PathComponents, get_path_variants
    from blockmill.shared.protocol import ServiceInfo
    from blockmill.shared.reports import BlockFailure, JobInfo, LogLine, WorkerInfo
    from blockmill.shared.roi import Roi
    from blockmill.shared.roitools import (
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
    from blockmill.shared.signal import OrderedSignal
    from blockmill.shared.tinyvector import TinyVector
    from blockmill.shared.trace import Tracer, trace_logged
    from blockmill.shared.volumes.address import open_volume
    from blockmill.shared.volumes.description import FilesetDescription
    from blockmill.shared.volumes.fileset import BlockwiseFileset
    from blockmill.shared.volumes.restful.fileset import RESTfulBlockwiseFileset
    from blockmill.shared.volumes.restful.volume import RESTfulVolume

__version__ = "0.1.0"

_HOMES = {
    "Tracer": "shared.trace",
    "trace_logged": "shared.trace",
    "PathComponents": "shared.paths",
    "get_path_variants": "shared.paths",
    "JsonConfigParser": "shared.jsonconfig",
    "Namespace": "shared.jsonconfig",
    "AutoEval": "shared.jsonfields",
    "FormattedField": "shared.jsonfields",
    "RoiTuple": "shared.jsonfields",
    "TinyVector": "shared.tinyvector",
    "slice_to_roi": "shared.roitools",
    "roi_to_slice": "shared.roitools",
    "get_intersection": "shared.roitools",
    "get_block_bounds": "shared.roitools",
    "get_intersecting_blocks": "shared.roitools",
    "get_intersecting_rois": "shared.roitools",
    "enlarge_roi_for_halo": "shared.roitools",
    "nonzero_bounding_box": "shared.roitools",
    "containing_rois": "shared.roitools",
    "blockwise_view": "shared.roitools",
    "determine_block_shape": "shared.blockshapes",
    "determine_optimal_request_block_shape": "shared.blockshapes",
    "AsyncClient": "client.asyncapi",
    "BlockFailure": "shared.reports",
    "Client": "client.api",
    "JobInfo": "shared.reports",
    "LogLine": "shared.reports",
    "ServiceInfo": "shared.protocol",
    "WorkerInfo": "shared.reports",
    "BigRequestStreamer": "client.streamer",
    "BlockGrid": "shared.grid",
    "BlockwiseFileset": "shared.volumes.fileset",
    "Engine": "daemon.engine",
    "FileLock": "shared.filelock",
    "FilesetDescription": "shared.volumes.description",
    "Job": "shared.job",
    "OrderedSignal": "shared.signal",
    "RESTfulBlockwiseFileset": "shared.volumes.restful.fileset",
    "RESTfulVolume": "shared.volumes.restful.volume",
    "Roi": "shared.roi",
    "ParallelVolume": "client.parallel",
    "RoiRequestBatch": "client.requests",
    "RoiRequestBatchCancelled": "client.blockwork",
    "RoiRequestBatchError": "client.blockwork",
    "RoiRequestBufferIter": "client.bufferiter",
    "load_job": "shared.job",
    "open_volume": "shared.volumes.address",
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
