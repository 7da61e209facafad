"""Reads what skops stored without building any of it: a tree of plain values and arrays.

A file of skops is a zip: ``schema.json``, a tree of nodes that name types, and arrays in NumPy's own format. Here
every type is looked up in a list, and of an object of one only its attributes are taken. So a file can name what it
likes: nothing is imported for it, called or made.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

_SCHEMA: Final = "schema.json"


class Stored:
    """A file of skops.

    Parameters
    ----------
    content : bytes
        The file.

    Raises
    ------
    zipfile.BadZipFile, KeyError, ValueError
        If it is none.
    """

    def __init__(self, content: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        self._schema = json.loads(self._zip.read(_SCHEMA))

    def types(self) -> frozenset[str]:
        """Name all types and functions that building the objects would need."""
        return frozenset(_types(self._schema))

    def read(self) -> Any:
        """Give what is stored, each object as a dict of its attributes.

        Raises
        ------
        KeyError, TypeError, ValueError
            If a node is of no kind that a model of this package has, or an array cannot be read.
        """
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
                with self._zip.open(node["file"]) as file:
                    return np.lib.format.read_array(file)  # raises at objects: nothing is unpickled
            case "NdArrayNode" | "FunctionNode" | "TypeNode" | "SliceNode":
                return None  # names of classes and columns, which no weight hangs on
        raise ValueError(f"a node of the kind {kind!r}")


def _types(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "__class__" in node:
            yield f"{node['__module__']}.{node['__class__']}"
        for part in node.values():
            yield from _types(part)
    elif isinstance(node, list):
        for part in node:
            yield from _types(part)
