"""Manual pages in the language of man(7)."""

from __future__ import annotations

import re

_FIRST_PRINTABLE, _LAST_PRINTABLE = " ", "~"


class Page:
    """Builds one manual page; takes plain text and escapes it.

    Parameters
    ----------
    name : str
    section : int
    about : str
        One line for the section NAME.
    version : str
        Of blockmill, for the footer.
    """

    def __init__(self, name: str, section: int, about: str, version: str) -> None:
        self.name, self.section = name, section
        self._lines = [
            f'.TH "{escape(name.upper())}" "{section}" "" "blockmill {escape(version)}" "blockmill"',
            ".SH NAME",
            f"{escape(name)} \\- {escape(about)}",
        ]

    @property
    def file(self) -> str:
        """Path of the page below a folder for manual pages."""
        return f"man{self.section}/{self.name}.{self.section}"

    def heading(self, title: str, *, level: int = 1) -> None:
        """Begin a section or a subsection.

        Parameters
        ----------
        title : str
        level : {1, 2}
        """
        self._lines.append(f'.{"SH" if level == 1 else "SS"} "{escape(title)}"')

    def text(self, text: str) -> None:
        """Add paragraphs, separated by empty lines; one that begins with a backspace keeps its lines."""
        for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
            self._lines.append(".PP")
            if paragraph.lstrip(" ").startswith("\b"):
                self.lines(paragraph.replace("\b", "").strip("\n"))
            else:
                self._lines.append(escape(" ".join(paragraph.split())))

    def lines(self, text: str) -> None:
        """Add indented lines, which are not filled."""
        self._lines += [".RS 4", ".nf", *map(escape, text.splitlines()), ".fi", ".RE"]

    def item(self, term: str, text: str, *, note: str = "") -> None:
        """Add a term with its explanation.

        Parameters
        ----------
        term : str
            Printed in bold.
        text : str
            The explanation, below the term.
        note : str
            Printed behind the term.
        """
        self._lines.append(".TP")
        self._lines.append(f"\\fB{escape(term)}\\fR" + (f" {escape(note)}" if note else ""))
        self._lines.append(escape(" ".join(text.split())) or "\\&")

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def escape(text: str) -> str:
    """Escape plain text, so that roff prints it letter by letter."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
    text = "".join(c if _FIRST_PRINTABLE <= c <= _LAST_PRINTABLE else f"\\[u{ord(c):04X}]" for c in text)
    return f"\\&{text}" if text.startswith(".") else text
