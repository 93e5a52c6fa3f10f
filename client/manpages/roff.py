"""Text as man(7) takes it."""

from __future__ import annotations

import re

_LEAST_ASCII, _MOST_ASCII = " ", "~"


class Page:
    """A manual page that grows; all text that is given to it is plain."""

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
        """Begin a section, or one within."""
        self._lines.append(f'.{"SH" if level == 1 else "SS"} "{escape(title)}"')

    def text(self, text: str) -> None:
        """Paragraphs, apart by empty lines; one that begins with a backspace keeps its lines."""
        for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
            self._lines.append(".PP")
            if paragraph.lstrip(" ").startswith("\b"):
                self.lines(paragraph.replace("\b", "").strip("\n"))
            else:
                self._lines.append(escape(" ".join(paragraph.split())))

    def lines(self, text: str) -> None:
        """Lines as they are, indented."""
        self._lines += [".RS 4", ".nf", *map(escape, text.splitlines()), ".fi", ".RE"]

    def item(self, term: str, text: str, *, note: str = "") -> None:
        """A term in bold, something behind it, and what it means below."""
        self._lines.append(".TP")
        self._lines.append(f"\\fB{escape(term)}\\fR" + (f" {escape(note)}" if note else ""))
        self._lines.append(escape(" ".join(text.split())) or "\\&")

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def escape(text: str) -> str:
    """Plain text that roff gives back letter by letter."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
    text = "".join(c if _LEAST_ASCII <= c <= _MOST_ASCII else f"\\[u{ord(c):04X}]" for c in text)
    return f"\\&{text}" if text.startswith(".") else text
