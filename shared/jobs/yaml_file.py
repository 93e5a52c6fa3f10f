"""YAML files that people write: plain data, and the position of each key and value.

Scalars are read by YAML 1.2's core schema: ``no``, ``on``, ``1:30`` and ``1_000`` are texts.
Nothing is ever constructed but mappings with text keys, lists, texts, numbers, bools and null.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
import yamlcore

from ..bounds import MOST_COMPLAINTS, MOST_DEPTH, MOST_FILE_BYTES, MOST_VALUES
from ..errors import JobFileError

KeyPath = tuple[str | int, ...]
Position = tuple[int, int]

_PREFIX = "tag:yaml.org,2002:"
_SCALARS = frozenset(_PREFIX + name for name in ("str", "int", "float", "bool", "null"))


@dataclass(frozen=True, slots=True)
class KeyPositions:
    """The beginnings of a key and of its value: (line, column), both counted from 1.

    An item of a list has no key: there both are the item's. A value behind an alias
    lies where the anchor is.
    """

    key: Position
    value: Position


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A mapping read from YAML, with the positions of all its keys and values; the root's path is ``()``."""

    source: str
    data: dict[str, Any]
    positions: dict[KeyPath, KeyPositions]


class _TooLarge(yaml.YAMLError):
    """The document is refused for its size, before it is all in memory."""

    def __init__(self, text: str, mark: yaml.Mark) -> None:
        super().__init__(text)
        self.problem, self.problem_mark = text, mark


class _Loader(yamlcore.CoreLoader):
    """yamlcore's loader, which stops at too many or too deeply nested nodes."""

    nodes = 0
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.nodes += 1
        self.depth += 1
        if self.nodes > MOST_VALUES or self.depth > MOST_DEPTH:
            what = (
                f"more than {MOST_VALUES} values"
                if self.nodes > MOST_VALUES
                else f"nested more than {MOST_DEPTH} deep"
            )
            raise _TooLarge(f"{what}; no such file is meant to be that large", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(path: str | Path) -> YamlDocument:
    """Read a YAML file whose top level is a mapping.

    Raises
    ------
    JobFileError
        One line per mistake, ``file:line:column: what is wrong``; also where the file can't
        be read, is larger than 1 MiB, or is no UTF-8.
    """
    source = str(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise JobFileError(f"{source}: can't be read: {error.strerror or error}") from error
    if len(content) > MOST_FILE_BYTES:
        raise JobFileError(f"{source}: larger than 1 MiB; no such file is meant to be that large")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise JobFileError(f"{source}:{line}:1: not UTF-8 text; save the file as UTF-8") from error
    return parse_yaml(text, source)


def parse_yaml(text: str, source: str) -> YamlDocument:
    """Read YAML from text, as `read_yaml`.

    Parameters
    ----------
    text : str
    source : str
        Name of the file in messages.

    Returns
    -------
    YamlDocument

    Raises
    ------
    JobFileError
        As of `read_yaml`.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MOST_FILE_BYTES:
        raise JobFileError(f"{source}: larger than 1 MiB; no such file is meant to be that large")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        raise JobFileError(_bad_character(text, source, error)) from error
    except yaml.YAMLError as error:
        raise JobFileError(_syntax(source, error)) from error
    if node is None:
        raise JobFileError(f"{source}:1:1: the file is empty; a mapping (key: value) is expected")
    return _Walk(loader, source).document(node)


def _bad_character(text: str, source: str, error: yaml.reader.ReaderError) -> str:
    before = text[: error.position]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return f"{source}:{line}:{column}: the character {text[error.position]!r} is not allowed in YAML"


def _syntax(source: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    position = "1:1" if mark is None else f"{mark.line + 1}:{mark.column + 1}"
    return f"{source}:{position}: {problem}" + (f" ({context})" if context else "")


def _position(node: yaml.Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _no_text(key: yaml.Node, value: yaml.Node, before: yaml.Node | None) -> str:
    """The reason why a key is no text, with `before` as the value that precedes it.

    In ``{sigma: 1,5}`` the 5 is a key of its own, without a value.
    """
    numbers = all(
        isinstance(node, yaml.ScalarNode) and node.tag in (_PREFIX + "int", _PREFIX + "float")
        for node in (before, key)
    )
    if before is not None and numbers and value.start_mark.index == value.end_mark.index:
        pair = f"{before.value},{key.value}"
        return (
            f"the comma in {pair} ends the value and begins a key; a decimal comma? write "
            f"{pair.replace(',', '.')}. For a list write [{pair.replace(',', ', ')}]"
        )
    return "a key must be a text; put it in quotes if it looks like something else"


def _tag_as_written(tag: str) -> str:
    return "!!" + tag.removeprefix(_PREFIX) if tag.startswith(_PREFIX) else tag


@dataclass
class _Walk:
    """One walk over the composed nodes: data, positions, and every mistake met on the way."""

    loader: _Loader
    source: str
    positions: dict[KeyPath, KeyPositions] = field(default_factory=dict)
    mistakes: list[tuple[Position, str]] = field(default_factory=list)
    open_nodes: set[int] = field(default_factory=set)

    def document(self, node: yaml.Node) -> YamlDocument:
        if not isinstance(node, yaml.MappingNode):
            line, column = _position(node)
            kind = "list" if isinstance(node, yaml.SequenceNode) else "single value"
            raise JobFileError(
                f"{self.source}:{line}:{column}: a mapping (key: value) is expected, here is a {kind}"
            )
        self.positions[()] = KeyPositions(_position(node), _position(node))
        data = self._value(node, ())
        if self.mistakes:
            raise JobFileError("\n".join(self._mistake_lines()))
        return YamlDocument(self.source, data, self.positions)

    def _mistake_lines(self) -> list[str]:
        told = sorted(self.mistakes)[:MOST_COMPLAINTS]
        lines = [f"{self.source}:{line}:{column}: {text}" for (line, column), text in told]
        count = len(self.mistakes) - len(told)
        return [*lines, f"{self.source}: and {count} more mistakes"] if count else lines

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self.open_nodes:
            return self._wrong(node, "an alias stands inside of what it stands for")
        # Aliases are walked each time anew, so a few lines could stand for billions of values.
        if len(self.positions) > MOST_VALUES:
            line, column = _position(node)
            raise JobFileError(
                f"{self.source}:{line}:{column}: aliases expand to more than {MOST_VALUES} values"
            )
        self.open_nodes.add(id(node))
        value = (
            self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        )
        self.open_nodes.remove(id(node))
        return value

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag not in _SCALARS:
            return self._wrong_tag(node)
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError, IndexError):
            kind = node.tag.removeprefix(_PREFIX)
            shortened = node.value if len(node.value) <= 40 else f"{node.value[:37]}..."
            return self._wrong(node, f"{shortened!r} can't be read as {kind}")

    def _sequence(self, node: yaml.Node, path: KeyPath) -> Any:
        if node.tag != _PREFIX + "seq":
            return self._wrong_tag(node)
        items = []
        for index, item in enumerate(node.value):
            self.positions[(*path, index)] = KeyPositions(_position(item), _position(item))
            items.append(self._value(item, (*path, index)))
        return items

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> Any:
        if node.tag != _PREFIX + "map":
            return self._wrong_tag(node)
        mapping: dict[str, Any] = {}
        before: yaml.Node | None = None  # used in flow mappings alone, where commas part
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                self._wrong(key_node, _no_text(key_node, value_node, before))
            elif key == "<<":
                self._wrong(key_node, "merge keys (<<) are not read; write the keys out where they belong")
            elif key in mapping:
                line = self.positions[(*path, key)].key[0]
                self._wrong(key_node, f"the key {key} is there twice, first on line {line}")
            else:
                self.positions[(*path, key)] = KeyPositions(_position(key_node), _position(value_node))
                mapping[key] = self._value(value_node, (*path, key))
            before = value_node if node.flow_style else None
        return mapping

    def _wrong(self, node: yaml.Node, text: str) -> None:
        self.mistakes.append((_position(node), text))

    def _wrong_tag(self, node: yaml.Node) -> None:
        self._wrong(node, f"the tag {_tag_as_written(node.tag)} is not allowed; only plain values are")
