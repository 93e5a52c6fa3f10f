"""blockmill: take volumes of any size through a step, block by block, over worker processes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockmill.client.api import Client
    from blockmill.client.asyncapi import AsyncClient
    from blockmill.client.requests import BigRequestStreamer, RoiRequestBatch, RoiRequestBatchError
    from blockmill.daemon.engine import Engine
    from blockmill.shared.filelock import FileLock
    from blockmill.shared.grid import BlockGrid
    from blockmill.shared.job import Job, load_job
    from blockmill.shared.protocol import ServiceInfo
    from blockmill.shared.reports import BlockFailure, JobInfo, LogLine, WorkerInfo
    from blockmill.shared.roi import Roi
    from blockmill.shared.signal import OrderedSignal
    from blockmill.shared.volumes.address import open_volume
    from blockmill.shared.volumes.description import FilesetDescription
    from blockmill.shared.volumes.fileset import BlockwiseFileset
    from blockmill.shared.volumes.restful.fileset import RESTfulBlockwiseFileset
    from blockmill.shared.volumes.restful.volume import RESTfulVolume

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "client.asyncapi",
    "BlockFailure": "shared.reports",
    "Client": "client.api",
    "JobInfo": "shared.reports",
    "LogLine": "shared.reports",
    "ServiceInfo": "shared.protocol",
    "WorkerInfo": "shared.reports",
    "BigRequestStreamer": "client.requests",
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
    "RoiRequestBatch": "client.requests",
    "RoiRequestBatchError": "client.requests",
    "load_job": "shared.job",
    "open_volume": "shared.volumes.address",
}

__all__ = [
    "AsyncClient",
    "BigRequestStreamer",
    "BlockFailure",
    "BlockGrid",
    "BlockwiseFileset",
    "Client",
    "Engine",
    "FileLock",
    "FilesetDescription",
    "Job",
    "JobInfo",
    "LogLine",
    "OrderedSignal",
    "RESTfulBlockwiseFileset",
    "RESTfulVolume",
    "Roi",
    "RoiRequestBatch",
    "RoiRequestBatchError",
    "ServiceInfo",
    "WorkerInfo",
    "__version__",
    "load_job",
    "open_volume",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import blockmill`` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'blockmill' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"blockmill.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
