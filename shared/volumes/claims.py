"""Files that a volume owns or reads.

An output owns its claims: overwriting removes these files and nothing else. Two jobs
clash if claims of one meet claims, or reads, of the other, however the paths are spelled.
"""

from __future__ import annotations

from pathlib import Path

from ..files.places import Place
from .base.claims import Claims, Tree
from .base.format import Address
from .registry import format_of

__all__ = ["Claims", "Tree", "claims_of", "reads_of", "records_folder"]


def records_folder(output: Path) -> Path:
    """The hidden folder beside an output, with the records of its job."""
    return output.with_name(f".{output.name}.blockmill")


def claims_of(address: Address) -> Claims:
    """Files and folders that an output at this address owns, whether it exists yet or not."""
    own = format_of(address).claims(address)
    return Claims(own.files, (Tree(Place.of(records_folder(Path(address.file)))), *own.trees))


def reads_of(address: Address, *, follow_links: bool = True) -> Claims:
    """Files and folders that a job reads from an input at this address; see `Format.reads`."""
    return format_of(address).reads(address, follow_links=follow_links)


def stages_folder(output: Path) -> Path:
    """The folder of the temporary volumes of a job whose last output this is."""
    return records_folder(output) / "stages"
