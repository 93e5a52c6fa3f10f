# Types of the public names, for type checkers and editors; `__init__.py` imports the same on demand.

from .client.library.batch import RoiRequestBatch as RoiRequestBatch
from .client.library.parallel import ParallelVolume as ParallelVolume
from .client.library.slices import RoiRequestBufferIter as RoiRequestBufferIter
from .client.library.streamer import BigRequestStreamer as BigRequestStreamer
from .client.library.work import (
    RoiRequestBatchCancelled as RoiRequestBatchCancelled,
    RoiRequestBatchError as RoiRequestBatchError,
)
from .client.service.async_client import AsyncClient as AsyncClient
from .client.service.client import Client as Client
from .daemon.engine.engine import Engine as Engine
from .shared.errors import (
    BlockError as BlockError,
    BlockmillError as BlockmillError,
    ConfigError as ConfigError,
    CorruptBlock as CorruptBlock,
    DamagedInput as DamagedInput,
    DownloadFailed as DownloadFailed,
    EngineError as EngineError,
    JobError as JobError,
    JobFileError as JobFileError,
    LockLost as LockLost,
    LockTimeout as LockTimeout,
    MissingBlock as MissingBlock,
    NoSuchJob as NoSuchJob,
    OutOfBounds as OutOfBounds,
    OutputRefused as OutputRefused,
    Refused as Refused,
    ServiceUnreachable as ServiceUnreachable,
    StorageError as StorageError,
    WaitTimeout as WaitTimeout,
    WireError as WireError,
)
from .shared.files.schema import ParsingError as ParsingError, SchemaError as SchemaError
from .shared.geometry.grid import BlockGrid as BlockGrid
from .shared.geometry.roi import Roi as Roi, RoiLike as RoiLike
from .shared.geometry.slicing import slice_to_roi as slice_to_roi
from .shared.jobs.job import Job as Job
from .shared.jobs.job_file import load_job as load_job
from .shared.jobs.staged import StagedJob as StagedJob
from .shared.lazyflow.blockshapes import (
    determine_block_shape as determine_block_shape,
    determine_optimal_request_block_shape as determine_optimal_request_block_shape,
)
from .shared.lazyflow.jsonconfig import JsonConfigParser as JsonConfigParser, Namespace as Namespace
from .shared.lazyflow.jsonfields import (
    AutoEval as AutoEval,
    FormattedField as FormattedField,
    RoiTuple as RoiTuple,
)
from .shared.lazyflow.paths import PathComponents as PathComponents, get_path_variants as get_path_variants
from .shared.lazyflow.roitools import (
    blockwise_view as blockwise_view,
    containing_rois as containing_rois,
    enlarge_roi_for_halo as enlarge_roi_for_halo,
    get_block_bounds as get_block_bounds,
    get_intersecting_blocks as get_intersecting_blocks,
    get_intersecting_rois as get_intersecting_rois,
    get_intersection as get_intersection,
    nonzero_bounding_box as nonzero_bounding_box,
    roi_to_slice as roi_to_slice,
)
from .shared.lazyflow.signal import OrderedSignal as OrderedSignal
from .shared.lazyflow.tinyvector import TinyVector as TinyVector
from .shared.lazyflow.trace import Tracer as Tracer, trace_logged as trace_logged
from .shared.locking.filelock import FileLock as FileLock
from .shared.messages.records import (
    BlockFailure as BlockFailure,
    JobInfo as JobInfo,
    LogLine as LogLine,
    WorkerInfo as WorkerInfo,
)
from .shared.messages.replies import ServiceInfo as ServiceInfo
from .shared.volumes.base.api import Volume as Volume
from .shared.volumes.blockwise.description import FilesetDescription as FilesetDescription
from .shared.volumes.blockwise.fileset import BlockwiseFileset as BlockwiseFileset
from .shared.volumes.registry import open_volume as open_volume
from .shared.volumes.hdf5.datasets import glob_datasets as glob_datasets, list_datasets as list_datasets
from .shared.volumes.restful.fileset import RESTfulBlockwiseFileset as RESTfulBlockwiseFileset
from .shared.volumes.restful.volume import RESTfulVolume as RESTfulVolume

__version__: str
