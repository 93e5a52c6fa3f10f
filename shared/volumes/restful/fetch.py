"""HTTP downloads with time-outs, retries and a size limit."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from ...errors import DownloadFailed, StorageError
from .tokens import token_for

_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_PIECE_BYTES = 1 << 18
_LONGEST_BACK_OFF_S = 20.0
_TEXT_OF_ERROR_BYTES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadSettings:
    """Settings of downloads.

    Parameters
    ----------
    timeout_s : float
        Longest silence of a server, in connecting and between two pieces of an answer, in seconds.
    deadline_s : float
        Longest time for one cut-out altogether, with all retries, in seconds.
    retries : int
        Further attempts after a failure that may pass: no connection, silence, an answer that is
        cut off, status 408, 425, 429, 500, 502, 503 or 504. The server's ``Retry-After`` is kept to.
    back_off_s : float
        Pause before the first retry; it doubles from one to the next, up to 20 s.
    headers : mapping, optional
        Sent with every request. They are not sent on to another server by a redirect.
    token : str, optional
        Sent as ``Authorization: Bearer``. Default: that of the server; see `tokens`.
    """

    timeout_s: float = 30.0
    deadline_s: float = 600.0
    retries: int = 6
    back_off_s: float = 0.2
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)


class Fetcher:
    """Downloads from one server into files; any number of threads may use it.

    Parameters
    ----------
    url : str
        Any address of the server, for its token.
    settings : DownloadSettings
    """

    def __init__(self, url: str, settings: DownloadSettings) -> None:
        self._settings = settings
        token = settings.token or token_for(url)
        self._secrets = [text for text in (token, *settings.headers.values()) if text and len(text) > 3]
        self._headers = {"User-Agent": "blockmill", "Accept-Encoding": "identity", **settings.headers}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(
            maxsize=32, timeout=urllib3.Timeout(connect=settings.timeout_s, read=settings.timeout_s)
        )
        # Redirects alone: `fetch` decides about all other attempts, since it reads bodies, too.
        self._redirects = Retry(
            total=5,
            connect=0,
            read=0,
            status=0,
            other=0,
            respect_retry_after_header=False,
            remove_headers_on_redirect=[*Retry.DEFAULT_REMOVE_HEADERS_ON_REDIRECT, *settings.headers],
        )

    def fetch(
        self, url: str, into: BinaryIO, accept: str, limit_bytes: int, stop: threading.Event | None = None
    ) -> Mapping[str, str]:
        """Download `url` into a file, which is emptied before each attempt.

        Parameters
        ----------
        url : str
        into : binary file
        accept : str
            The header ``Accept``.
        limit_bytes : int
            A longer answer ends the download.
        stop : threading.Event, optional
            Ends it early.

        Returns
        -------
        mapping
            The headers of the answer.

        Raises
        ------
        DownloadFailed
            With address, reason and number of attempts; never with a token.
        """
        stop = stop or threading.Event()
        give_up_s = time.monotonic() + self._settings.deadline_s
        for attempt in range(1, self._settings.retries + 2):
            try:
                return self._attempt(url, into, accept, limit_bytes, give_up_s, stop)
            except _TransientError as error:
                wait_s = max(error.wait_s, self._pause_s(attempt))
                left_s = give_up_s - time.monotonic()
                if attempt > self._settings.retries or wait_s > left_s:
                    asked = f"; it asks to wait {error.wait_s:g} s" if error.wait_s > left_s else ""
                    reason = f"{error.reason}{asked} (attempt {attempt}, the last)"
                    raise self._failed(url, reason) from error
                if stop.wait(wait_s):
                    raise self._failed(url, "given up, since something else failed") from error
        raise AssertionError("the last attempt returns or raises")

    def _pause_s(self, attempt: int) -> float:
        return min(self._settings.back_off_s * 2 ** (attempt - 1), _LONGEST_BACK_OFF_S)

    def _failed(self, url: str, reason: str) -> DownloadFailed:
        return DownloadFailed(self._clean(f"could not get {shown(url)}: {reason}"))

    def _clean(self, text: str) -> str:
        """The text without secrets, which a server may have sent back."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _attempt(
        self, url: str, into: BinaryIO, accept: str, limit: int, give_up_s: float, stop: threading.Event
    ) -> Mapping[str, str]:
        try:
            response = self._pool.request(
                "GET",
                url,
                headers={**self._headers, "Accept": accept},
                preload_content=False,
                retries=self._redirects,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise _TransientError(self._clean(_innermost(error))) from error
        try:
            if response.status != 200:
                self._refuse(url, response)
            self._stream(url, response, into, limit, give_up_s, stop)
            return response.headers
        except (HTTPError, OSError) as error:
            raise _TransientError(self._clean(f"the answer broke off: {_innermost(error)}")) from error
        finally:
            # A connection with the rest of a body in it is of no use to anybody else.
            if not response.closed:
                response.close()

    def _refuse(self, url: str, response: urllib3.BaseHTTPResponse) -> None:
        error_text = _error_text(response.read1(_TEXT_OF_ERROR_BYTES))
        reason = f"the server answers {response.status} {response.reason or ''}".rstrip()
        reason += f": {error_text}" if error_text else ""
        if response.status in (401, 403):
            reason += "; a token for this server can be given by BLOCKMILL_TOKENS_FILE"
        if response.status in _RETRIED_STATUSES:
            raise _TransientError(self._clean(reason), _retry_after_s(response))
        raise self._failed(url, reason)

    def _stream(
        self,
        url: str,
        response: urllib3.BaseHTTPResponse,
        into: BinaryIO,
        limit: int,
        give_up_s: float,
        stop: threading.Event,
    ) -> None:
        into.seek(0)
        into.truncate()
        length = 0
        while piece := response.read1(_PIECE_BYTES):
            self._keep(into, piece)
            length += len(piece)
            if length > limit:
                raise self._failed(url, f"the answer has more than {limit} bytes, too many for its voxels")
            if stop.is_set():
                raise self._failed(url, "given up, since something else failed")
            if time.monotonic() > give_up_s:
                raise self._failed(
                    url, f"{length} bytes came in {self._settings.deadline_s:g} s, and not the last one"
                )
        expected = response.headers.get("Content-Length", "")
        if expected.isdigit() and length < int(expected):
            raise _TransientError(f"the answer broke off after {length} of {expected} bytes")

    @staticmethod
    def _keep(into: BinaryIO, piece: bytes) -> None:
        try:
            into.write(piece)
            into.flush()
        except OSError as error:  # no fault of the server, and no attempt more mends it
            raise StorageError(f"could not keep what was downloaded: {error}") from error

    def error_text(self, body: bytes | None) -> str:
        """The first words of a server's message about an error, without secrets."""
        return self._clean(_error_text(body))

    def close(self) -> None:
        """Let go of connections."""
        self._pool.clear()


class _TransientError(Exception):
    """A failure that is worth another attempt, after a pause that the server may have asked for."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float:
    header = Retry()
    header.retry_after_max = 10**9  # an attribute, as older versions know no such limit
    try:
        return header.get_retry_after(response) or 0.0
    except (InvalidHeader, TypeError):
        return 0.0


def shown(url: str) -> str:
    """An address for messages, without a password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _innermost(error: BaseException) -> str:
    while isinstance(reason := getattr(error, "reason", None), BaseException):
        error = reason
    return re.sub(r"^<?HTTPS?Connection.*?>?: ", "", str(error)) or type(error).__name__


def _error_text(body: bytes | None) -> str:
    """The first words of a server's message about an error."""
    text = re.sub(
        r"<(style|script).*?</\1>|<[^>]*>", " ", (body or b"").decode("utf-8", "replace"), flags=re.S
    )
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= 200 else f"{text[:197]}..."
