"""What skops stored is read, and nothing that it names is built."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import StandardScaler

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
    stored = Stored(content)
    assert f"{__name__}.Trap" in stored.types()
    assert any("log" in name for name in stored.types())


def test_a_kind_that_no_model_has_is_refused():
    with pytest.raises(ValueError, match="a node of the kind 'SetNode'"):
        Stored(skops.io.dumps({1, 2})).read()


def test_an_array_of_objects_is_refused():
    schema = {"__loader__": "NdArrayNode", "type": "numpy", "file": "x.npy"}
    held, array = io.BytesIO(), io.BytesIO()
    np.save(array, np.array([{}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(held, "w") as file:
        file.writestr("schema.json", json.dumps(schema))
        file.writestr("x.npy", array.getvalue())
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        Stored(held.getvalue()).read()
