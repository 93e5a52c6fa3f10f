"""Which is older, this client or the service, and what to do about it; told wherever it is the cause."""

from __future__ import annotations

import msgspec

from ...shared.errors import BlockmillError, JobError, NoSuchJob, Refused, WireError
from ...shared.messages import service as p
from ...shared.version import __version__, is_older

WITHOUT_VERSION = "0.1"
"""A service whose answers carry no version is of this one."""

_ERRORS: dict[str, type[BlockmillError]] = {
    "no_such_job": NoSuchJob,
    "bad_job": JobError,
    "refused": Refused,
    "protocol": Refused,
    "broken": BlockmillError,
}


def older_side(service: str) -> str:
    """Which side is older, in words, with the next step; empty if both are of one version.

    Parameters
    ----------
    service : str
        The version of the service's code.

    Returns
    -------
    str
    """
    if is_older(service, __version__):
        return (
            f"the service is of version {service}, older than this client, {__version__}: start the service "
            "again, its jobs go on"
        )
    if is_older(__version__, service):
        return (
            f"this client is of version {__version__}, older than the service, {service}: upgrade the client"
        )
    return ""


def refusal_error(refusal: p.Refusal, software: str) -> BlockmillError:
    """The error for a refusal; with the versions, if they may be the reason.

    Parameters
    ----------
    refusal : Refusal
    software : str
        The version in the service's answer; empty for 0.1.

    Returns
    -------
    BlockmillError
    """
    message, service = refusal.message, software or WITHOUT_VERSION
    if (older := older_side(service)) and refusal.kind == "protocol":
        message = f"the service does not understand this request: {older}"
    elif older and refusal.kind == "bad_job" and is_older(service, __version__):
        message = f"{message}\nIf that is right in this version: {older}"
    return _ERRORS[refusal.kind](message)


def unreadable_answer(error: WireError) -> BlockmillError | None:
    """The error for an answer that a service of another version has sent; None if that is not the reason."""
    if isinstance(error, p.OtherVersion):
        older = older_side(error.software) if error.software else ""
        if not older:
            older = (
                "this client is older: upgrade it"
                if error.version > p.VERSION
                else "the service is older: start it again, its jobs go on"
            )
        return Refused(f"the service can't be talked to: {error} ({older})")
    if isinstance(error, p.NotUnderstood) and error.software:
        older = older_side(error.software)
        return Refused(f"the answer of the service can't be read: {older}") if older else None
    return None


def reply_of(answer: p.Answer) -> p.Reply:
    """The reply in an answer that brings no refusal.

    A running service of version 0.1 says the version of the files on disk, which an upgrade may have
    replaced; that its answer carries none tells better.
    """
    reply = answer.reply
    if isinstance(reply, p.ServiceInfo) and not answer.software and not is_older(reply.version, "0.2.dev0"):
        return msgspec.structs.replace(reply, version=WITHOUT_VERSION)
    return reply
