import inspect

import pytest

from blockmill.shared.volumes.blockwise.blocks import FilesetBlocks
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

WITHIN = {
    "agrees",
    "checked_record",
    "check_writable",
    "doubtful_status",
    "read_part",
}  # for the fileset itself


@pytest.mark.parametrize("name", sorted(n for n in set(vars(FilesetBlocks)) - WITHIN if n[0] != "_"))
def test_what_the_blocks_of_a_fileset_can_do_the_fileset_can(name):
    part, whole = getattr(FilesetBlocks, name), getattr(BlockwiseFileset, name)
    assert inspect.getdoc(whole) == inspect.getdoc(part)
    if callable(part):
        assert inspect.signature(whole) == inspect.signature(part)
