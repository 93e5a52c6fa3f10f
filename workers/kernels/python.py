"""The user's own function on a block."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...shared.errors import BlockError, JobError
from ...shared.masked_arrays import is_masked
from .context import BlockContext, Kernel, crop

if TYPE_CHECKING:  # its model takes time to build, and few jobs have one
    from ...shared.operations.python import PythonFunction


def python_kernel(spec: PythonFunction) -> Kernel:
    """The kernel of `spec`; it raises what the function raises, unchanged.

    Raises
    ------
    JobError
        If the function can't be found.
    """
    function = _find(spec.function)
    wants_context = _has_context(function)

    def run(block: NDArray, context: BlockContext) -> NDArray:
        expected = spec.output_dtype(block.dtype)
        shape = block.shape
        # A copy for each call: what the function does to its arguments must not reach the next block.
        args: dict[str, Any] = copy.deepcopy(spec.args)
        if wants_context:
            args["context"] = context
        result = _filled(function(block, **args), spec)
        _check(result, spec.function, shape, expected)
        return crop(result.astype(expected, copy=False), context)

    return run


def _find(name: str) -> Callable[..., Any]:
    module_name, _, attributes = name.partition(":")
    try:
        target: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise JobError(
            f"function {name}: no module {error.name} can be imported in the workers; "
            "name the folder that it lies in as user_code, or install it"
        ) from error
    for attribute in attributes.split("."):
        try:
            target = getattr(target, attribute)
        except AttributeError as error:
            where = getattr(target, "__file__", None) or module_name
            raise JobError(f"function {name}: there is no {attribute} in {where}") from error
    if not callable(target):
        raise JobError(f"function {name}: it is of type {type(target).__name__}, no function")
    return target


def check_definition(name: str, folders: tuple[str, ...]) -> None:
    """Check that a function is defined below some folders; to be imported from there is not enough.

    Parameters
    ----------
    name : str
        ``"module:name"``.
    folders : tuple of str
        Absolute, without links.

    Raises
    ------
    JobError
    """
    function = _find(name)
    while isinstance(function, functools.partial):
        function = function.func
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    files = [getattr(module, "__file__", None)]
    if (code := getattr(function, "__code__", None)) is not None and not hasattr(function, "__wrapped__"):
        files.append(code.co_filename)
    for file in files:
        if file is None or not any(Path(os.path.realpath(file)).is_relative_to(one) for one in folders):
            where = file or f"the module {getattr(module, '__name__', 'builtins')}"
            raise JobError(
                f"operation.python.function: {name} is defined in {where}; this service calls only functions "
                f"that are defined below {', '.join(folders)}"
            )


def _has_context(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions written in C have none
        return False
    context = parameters.get("context")
    return context is not None and context.kind in (context.POSITIONAL_OR_KEYWORD, context.KEYWORD_ONLY)


def takes_context(name: str) -> bool:
    """True if the function, ``"module:name"``, is told where its block lies."""
    return _has_context(_find(name))


def _filled(result: object, spec: PythonFunction) -> Any:
    """A masked array as a plain one: by the job's own value, or as it is if nothing is masked."""
    if not is_masked(result):
        return result
    if spec.fill_masked is not None:
        return result.filled(spec.fill_masked)
    if masked := int(np.ma.count_masked(result)):
        raise BlockError(
            f"function {spec.function} returned a masked array, of which {masked} voxels are masked, and a "
            "volume has no mask: return result.filled(0), or write fill_masked: 0 in the job's operation"
        )
    return result.data


def _check(result: object, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if not isinstance(result, np.ndarray):
        raise BlockError(
            f"function {name} returned a {type(result).__name__}; an array of shape {shape} is expected"
        )
    if result.shape != shape:
        raise BlockError(
            f"function {name} returned an array of shape {result.shape}; {shape} is expected, "
            "that of the block with its halo"
        )
    if result.dtype.newbyteorder("=") != dtype:
        raise BlockError(
            f"function {name} returned {result.dtype.name}; {dtype.name} is expected: "
            f"convert the result, or write dtype: {result.dtype.name} in the job's operation"
        )
