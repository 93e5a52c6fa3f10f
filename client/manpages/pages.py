"""The list of all manual pages."""

from __future__ import annotations

import click

from .files import config_page, job_page
from .roff import Page
from .verbs import service_page, verb_pages


def pages(cli: click.Group) -> list[Page]:
    """The pages of the command and its verbs, of its files and of the service."""
    return [*verb_pages(cli), config_page(), job_page(), service_page(cli)]
