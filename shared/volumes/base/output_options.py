"""The settings of an output, as people write them below ``output:``."""

from __future__ import annotations

from typing import ClassVar, Literal

from ...geometry.roi import Shape
from ...schema.bounded_model import BoundedModel
from ...schema.fields import Text


class OutputOptions(BoundedModel):
    """The volume that is written.

    Formats have keys of their own, as subclasses of this.

    Attributes
    ----------
    address : str
        As of the input.
    durability : {"none", "block", "group"}
        The moment at which data is on the medium: whenever the system likes; for each block before
        it counts as done; or for groups of blocks, before the journal (or the end of the run)
        calls them done.
    """

    per_axis: ClassVar[tuple[str, ...]] = ()
    """Keys that have an entry per axis."""
    layout: ClassVar[tuple[str, ...]] = ()
    """Keys that decide how files are made, and so belong to the identity of a job."""

    address: Text
    durability: Literal["none", "block", "group"] = "group"

    @property
    def compressed(self) -> bool:
        """True if the size on disk can't be known before."""
        return False

    @property
    def stored_chunks(self) -> Shape | None:
        """Voxels per axis up to which storage rounds a block file, or the whole file; None: it doesn't."""
        return None
