"""The format restful: volumes of a web server, and filesets that cache their blocks."""

from __future__ import annotations

from typing import ClassVar

from ...files.places import Place
from ..base.array_volume import ArrayVolume
from ..base.claims import Claims
from ..base.format import Address, Format
from ..base.look import Look


class Restful(Format):
    """Volumes that a server gives out in cut-outs, named by a description on this disk. Only read."""

    name = "restful"
    unrecorded: ClassVar[str] = "is a volume of a server, of which nothing is kept here"

    def recognise(self, look: Look) -> Address | None:
        """A description of one of the two schemas."""
        if look.schema is None:
            return None
        from ..restful.description import FILESET_SCHEMA, VOLUME_SCHEMA

        return Address(self.name, look.path) if look.schema in (VOLUME_SCHEMA, FILESET_SCHEMA) else None

    def open(self, at: Address) -> ArrayVolume:
        """Open the volume; what speaks HTTP is imported now."""
        from ..restful.description import VOLUME_SCHEMA, schema_name
        from ..restful.fileset import RESTfulBlockwiseFileset
        from ..restful.volume import RESTfulVolume

        if schema_name(at.file) == VOLUME_SCHEMA:
            return RESTfulVolume(at.file)
        return RESTfulBlockwiseFileset(at.file)

    def reads(self, at: Address, *, follow_links: bool = True) -> Claims:
        """The description, and the folder of the blocks that are cached."""
        from ..restful.description import local_blocks

        tree = local_blocks(at.file)
        return Claims((Place.of(at.file),), () if tree is None else (tree,))
