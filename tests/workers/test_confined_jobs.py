"""A worker's side of a job that is confined: which files it opens, and whose functions it calls."""

import os
import textwrap

import numpy as np
import pytest

from blockmill.shared.errors import BlockError, BlockmillError, JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.messages import engine as wire
from blockmill.shared.system.confinement import Confinement, can_confine
from blockmill.workers.block_task import PreparedJob

needs_kernel = pytest.mark.skipif(not can_confine(), reason="this kernel has no Landlock")


@pytest.fixture
def place(tmp_path):
    """Folders for data, for code, and for what is neither."""
    for name in ("data", "code", "other"):
        (tmp_path / name).mkdir()
    for name, sign in (("data", 1), ("other", -1)):
        np.save(tmp_path / name / "in.npy", sign * np.arange(24).reshape(2, 3, 4))
    return tmp_path


def work(place, source, *, operation=None, probe=False):
    """Have a block done whose result has no place; or have input and operation tried, with `probe`."""
    confinement = Confinement(data=(str(place / "data"),), code=(str(place / "code"),))
    code = {} if operation is None else {"user_code": str(place / "code")}
    job = PreparedJob(
        wire.Recipe(
            sources=(wire.Source(str(source)),),
            operation=operation,
            probe=probe,
            confinement=confinement,
            **code,
        )
    )
    try:
        return job.do(wire.Task("j", 0, 0), Roi.from_shape((2, 3, 4)), None)
    finally:
        job.close()


def call(name, **args):
    return {"python": {"function": name, "args": args}}


@needs_kernel
def test_a_link_that_was_changed_after_the_check_leads_nowhere(place):
    link = place / "data" / "swap.npy"
    link.symlink_to(place / "data" / "in.npy")
    work(place, link, probe=True)
    link.unlink()
    link.symlink_to(place / "other" / "in.npy")
    with pytest.raises(BlockmillError, match=r"swap\.npy.*Permission denied|may not read"):
        work(place, link, probe=True)


def test_the_function_may_read_files_of_its_own(place):
    own = str(place / "other" / "in.npy")
    text = f"from pathlib import Path\ndef f(block):\n    return block + Path({own!r}).read_bytes()[1]\n"
    (place / "code" / "own_model.py").write_text(text)
    with pytest.raises(BlockError, match="names no place for its result"):  # so there was a result
        work(place, place / "data" / "in.npy", operation=call("own_model:f"))


STEPS = """
    import functools
    import math
    from functools import lru_cache
    from os import system
    from json import dumps
    from numpy import save
    from defined_elsewhere import plain as elsewhere

    def own(block):
        return block

    def decorate(function):
        @functools.wraps(function)
        def wrapped(block):
            return function(block)
        return wrapped

    wrapped = decorate(own)
    partly = functools.partial(own)
    cached = lru_cache(own)
    sneaky = functools.partial(system)
    cosine = math.cos

    class Callable:
        def __call__(self, block):
            return block

    instance = Callable()
"""


@pytest.fixture
def steps(place, monkeypatch):
    (place / "code" / "guarded_steps.py").write_text(textwrap.dedent(STEPS))
    (place / "other" / "defined_elsewhere.py").write_text("def plain(block):\n    return block\n")
    monkeypatch.syspath_prepend(str(place / "other"))
    return place


@pytest.mark.parametrize("name", ["own", "wrapped", "partly", "cached", "instance", "Callable"])
def test_what_is_defined_in_the_folder_may_be_called(steps, name):
    work(steps, steps / "data" / "in.npy", operation=call(f"guarded_steps:{name}"), probe=True)


@pytest.mark.parametrize("name", ["system", "dumps", "save", "elsewhere", "sneaky", "cosine"])
def test_what_is_imported_there_may_not(steps, name):
    with pytest.raises(JobError, match=f"guarded_steps:{name} is defined in .*; this service calls only"):
        work(steps, steps / "data" / "in.npy", operation=call(f"guarded_steps:{name}"), probe=True)


def test_a_name_of_the_standard_library_is_not_passed_by_a_folder_of_that_name(place):
    (place / "code" / "json").mkdir()
    with pytest.raises(JobError, match=r"json:dumps is defined in .*this service calls only"):
        work(place, place / "data" / "in.npy", operation=call("json:dumps"), probe=True)


def test_a_link_in_the_folder_does_not_make_a_module_its_own(place):
    (place / "other" / "linked_steps.py").write_text("def f(block):\n    return block\n")
    os.symlink(place / "other" / "linked_steps.py", place / "code" / "linked_steps.py")
    with pytest.raises(JobError, match=r"linked_steps:f is defined in .*this service calls only"):
        work(place, place / "data" / "in.npy", operation=call("linked_steps:f"), probe=True)
