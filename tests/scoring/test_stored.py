"""What skops stored is read, and nothing that it names is built."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import StandardScaler

from scoring import stored
from scoring.stored import Stored


class Trap:
    """Says so when it is built."""

    def __init__(self) -> None:
        raise AssertionError("built")


def test_values_come_back():
    value = {"a": [1, "two", None, 3.5, (True, {})], "b": np.arange(6.0).reshape(2, 3)}
    read = Stored(skops.io.dumps(value)).read()
    assert read["a"] == value["a"]
    assert np.array_equal(read["b"], value["b"])


def test_of_an_object_come_the_attributes():
    scaler = StandardScaler().fit([[0.0, 1.0], [2.0, 5.0]])
    read = Stored(skops.io.dumps(scaler)).read()
    assert read["mean_"].tolist() == [1.0, 3.0]
    assert read["with_std"] is True


def test_all_types_are_named_and_none_is_built():
    content = skops.io.dumps({"trap": object.__new__(Trap), "call": np.log})
    types = Stored(content).types
    assert f"{__name__}.Trap" in types
    assert any("log" in name for name in types)


def test_a_kind_that_no_model_has_is_refused():
    with pytest.raises(ValueError, match="a node of the kind 'SetNode'"):
        Stored(skops.io.dumps({1, 2})).read()


def file(schema: str, array: bytes = b"", kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", kind) as out:
        out.writestr("schema.json", schema)
        out.writestr("x.npy", array)
    return held.getvalue()


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


ARRAY = json.dumps({"__loader__": "NdArrayNode", "type": "numpy", "file": "x.npy"})
OBJECTS = io.BytesIO()
np.save(OBJECTS, np.array([{}], dtype=object), allow_pickle=True)
NESTED = '{"__loader__": "ListNode", "content": [' * 3_000 + "]}" * 3_000
LARGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,)}\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "File is not a zip file"),
        (file("{"), "Expecting property name"),
        (file("[" * 100_000), "recursion"),
        (file(NESTED), "recursion"),
        (file(json.dumps({"__loader__": "JsonNode", "content": "[" * 100_000})), "recursion"),
        (file("{}").replace(b"schema.json", b"schemer.json"[:11]), "schema.json"),
        (file(ARRAY, OBJECTS.getvalue()), "Object arrays cannot be loaded"),
        (file(ARRAY, b"no array"), "magic string is not correct"),
        (file(ARRAY, npy(LARGE % 2**70)), "OverflowError"),
        (file(ARRAY, npy(LARGE % 2**50)), "MemoryError"),
        (file(ARRAY, npy("{'descr': '<f8', 'shape': (4, 5")), "TokenError|SyntaxError|header"),
        (file(json.dumps({"__loader__": "DictNode"})), "AttributeError"),
        (file("[]"), "TypeError"),
    ],
)
def test_what_is_broken_is_one_kind_of_error(content, says):
    with pytest.raises(ValueError, match=says):
        Stored(content).read()


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(stored, "_LARGEST", 1_000)
    with pytest.raises(ValueError, match="at most 1,000 bytes expected, unpacked, found 1,0"):
        Stored(file("{}", b"\0" * 1_000))


def test_an_array_is_unpacked_once_however_often_it_is_named():
    array = io.BytesIO()
    np.save(array, np.zeros(9))
    many = {"__loader__": "ListNode", "content": [json.loads(ARRAY)] * 5}
    first, *others = Stored(file(json.dumps(many), array.getvalue())).read()
    assert all(other is first for other in others)
