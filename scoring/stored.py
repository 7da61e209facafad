"""Reads what skops stored without building any of it: a tree of plain values and arrays.

A file of skops is a zip: ``schema.json``, a tree of nodes that name types, and arrays in NumPy's own format. Of an
object only the attributes are taken here. So a file can name what it likes: nothing is imported for it, called or made.
"""

from __future__ import annotations

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

_SCHEMA: Final = "schema.json"
_LARGEST: Final = 1 << 30
"""Bytes, unpacked; the largest model so far has 22 million."""

_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,  # of the header of an array
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,  # RecursionError and NotImplementedError too
    SyntaxError,
    TypeError,
)
"""What a file that is damaged, or made to do damage, makes the readers raise, beside ValueError."""


class Stored:
    """A file of skops.

    Parameters
    ----------
    content : bytes
        The file.

    Attributes
    ----------
    types : frozenset of str
        All types and functions that building the objects would need.

    Raises
    ------
    ValueError
        If it is none, or unpacks to more than a gigabyte.
    """

    def __init__(self, content: bytes) -> None:
        with _translated():
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            unpacked = sum(part.file_size for part in self._zip.infolist())
            if unpacked > _LARGEST:
                raise ValueError(
                    f"at most {_LARGEST:,} bytes expected, unpacked, found {unpacked:,}"
                )
            self._schema = json.loads(self._zip.read(_SCHEMA))
            self.types = frozenset(_types(self._schema))
        self._arrays: dict[str, Any] = {}

    def read(self) -> Any:
        """Give what is stored: of each object a dict of its attributes, of a function or type its name.

        Raises
        ------
        ValueError
            If a node is of no kind that a model of this package has, or an array cannot be read.
        """
        with _translated():
            return self._value(self._schema)

    def _value(self, node: dict[str, Any]) -> Any:
        kind: str = node["__loader__"]
        content: Any = node.get("content")
        match kind:
            case "JsonNode":
                return json.loads(content)
            case "DictNode":
                return {name: self._value(part) for name, part in content.items()}
            case "ListNode":
                return [self._value(part) for part in content]
            case "TupleNode":
                return tuple(self._value(part) for part in content)
            case "ObjectNode":
                return self._value(content)
            case "NdArrayNode" if node["type"] == "numpy":
                return self._array(node["file"])
            case "FunctionNode" | "TypeNode":
                return _name(node)
            case "NdArrayNode" | "SliceNode":
                return None  # names of columns, which no weight hangs on
        raise ValueError(f"a node of the kind {kind!r}")

    def _array(self, name: str) -> Any:
        if name not in self._arrays:  # once, however many nodes name it
            with self._zip.open(name) as file:
                self._arrays[name] = np.lib.format.read_array(file)  # raises at objects
        return self._arrays[name]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _name(node: dict[str, Any]) -> str:
    return f"{node['__module__']}.{node['__class__']}"


def _types(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "__class__" in node:
            yield _name(node)
        for part in node.values():
            yield from _types(part)
    elif isinstance(node, list):
        for part in node:
            yield from _types(part)
