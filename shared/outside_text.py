"""Text from outside: what user code raises, what it prints, what a library says.

Such text may hold anything, for example half of a character from a file name that is no UTF-8, or the
digits of a whole array; and the exception that is to be told may be unable to say its text. It is made
fit to be sent, stored and shown here, and nowhere else.
"""

from __future__ import annotations

MOST_CHARACTERS = 4000
"""Longest text of one error."""


def clean(text: str, most: int = MOST_CHARACTERS) -> str:
    r"""The text with ``\udce9`` in place of what can't be encoded, and not much longer than `most`.

    Parameters
    ----------
    text : str
    most : int
        Characters to keep; the number of the others is told.

    Returns
    -------
    str
        UTF-8 can encode it.
    """
    excess = len(text) - most
    kept = text if excess <= 0 else text[:most]
    kept = kept.encode(errors="backslashreplace").decode()
    return kept if excess <= 0 else f"{kept}... and {excess} more characters"


def decoded(printed: bytes, most: int = MOST_CHARACTERS) -> str:
    r"""The text of printed bytes, with ``\xe9`` in place of what is no UTF-8.

    Parameters
    ----------
    printed : bytes
    most : int
        Characters to keep, as in `clean`.

    Returns
    -------
    str
    """
    return clean(printed.decode(errors="backslashreplace"), most)


def message_of(error: BaseException, most: int = MOST_CHARACTERS) -> str:
    """The text of an error.

    Parameters
    ----------
    error : BaseException
    most : int
        Characters to keep, as in `clean`.

    Returns
    -------
    str
        If the error can't say its text, the reason why.
    """
    try:
        return clean(str(error), most)
    except Exception as broken:  # noqa: BLE001 - its class may be the user's, and do anything
        return f"(this error can't say its text: its __str__ raised {clean(type(broken).__name__, most)})"


def error_text(error: BaseException) -> str:
    """Class and text of an error, ``"ValueError: no such plane"``."""
    return f"{clean(type(error).__name__, 200)}: {message_of(error)}"
