"""Go on with the training of a shipped encoder: its weights, read back from the int8 of its ONNX file.

What came later, new labels or another domain, then costs minutes and not the hours of training from the base.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scoring.artifact import ENCODER_FILE
from training.dataset import DataError, digest
from training.encoder import (
    EncoderParams,
    Say,
    Tokens,
    base_folder,
    begin_folder,
    fine_tune,
    keep_aside,
    labelled,
    network,
    soft,
    write_folder,
)
from training.pipeline import described, kept_from, learned

if TYPE_CHECKING:
    import onnx

KEPT: Final = 0.5
"""Share of the real statements it has not seen that it is kept from once more: heads are fitted on them."""

_ZERO: Final = 128  # of 8-bit weights in blocks: they are stored unsigned

Weights = dict[str, NDArray[np.float32]]


def go_on(
    statements: pd.DataFrame,
    encoder: Path,
    out: Path,
    params: EncoderParams,
    *,
    base: Path | None = None,
    replay: int | None = None,
    keep: float = KEPT,
    soft_rows: pd.DataFrame | None = None,
    mean: bool = False,
    say: Say = lambda _: None,
) -> Path:
    """Train a shipped encoder further, on statements that it has not seen and on a teacher's labels.

    Parameters
    ----------
    statements : pandas.DataFrame
        From `training.dataset.read`: what it learned from too. `divide` says which are learned.
    encoder : Path
        Its folder.
    out : Path
        Folder to write; it must not be there yet.
    params : EncoderParams
        Hyper-parameters.
    base : Path, optional
        Folder of the base that it was made of; by default `training.encoder.base_folder`.
    replay : int, optional
        As of `divide`.
    keep : float, optional
        As of `divide`.
    soft_rows : pandas.DataFrame, optional
        A teacher's labels (`training.encoder.soft_labels`), learned besides; ``learned.txt.gz`` names none of them.
    mean : bool, optional
        Take the mean of the weights before and after (`average`): for a few new labels.
    say : callable, optional
        Told how far it is.

    Returns
    -------
    Path
        The folder: ``encoder.onnx``, ``tokenizer.json``, ``encoder.json`` and ``learned.txt.gz``.

    Raises
    ------
    DataError
        If it is the folder of no encoder, another base's, or there is nothing new.
    """
    chosen, aside = divide(statements, encoder, replay, params.seed, keep)
    before, base = read_weights(encoder), base or base_folder()
    begin_folder(out)
    tokens = Tokens(encoder)
    net = network(base, Tokens(base))
    take(net, before)
    examples = labelled(statements[chosen], tokens, params)
    if soft_rows is not None:
        examples += soft(soft_rows, tokens, params)
    say(f"fine-tuning on {len(examples):,} statements; {int(aside.sum()):,} are kept aside")
    fine_tune(net, examples, tokens.pad, params, say)
    if mean:
        average(net, before)
    description = described(encoder) | {
        "onward": "/".join(encoder.resolve().parts[-2:]),
        "mean": mean,
        "params": asdict(params),
        "labelled": int(chosen.sum()),
        "soft": 0 if soft_rows is None else len(soft_rows),
        "digest": digest(statements),
    }
    write_folder(out, net, tokens, description, [*learned(encoder), *statements["id"][chosen]])
    return out


def divide(
    statements: pd.DataFrame, encoder: Path, replay: int | None, seed: int, keep: float = KEPT
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Choose of statements what an encoder learns now, and what it is kept from again.

    Parameters
    ----------
    statements : pandas.DataFrame
        From `training.dataset.read`.
    encoder : Path
        Its folder.
    replay : int or None
        Of what it knows so many, at random, are learned once more, lest it forget; None is all.
    seed : int
        Of the choice.
    keep : float, optional
        Share of what it has not seen that it is kept from again; 1 is all: then it learns of a teacher alone.

    Returns
    -------
    chosen, aside : ndarray of bool, shape (n,)

    Raises
    ------
    DataError
        If it is the folder of no encoder, or it was kept from none of these statements.
    """
    new = kept_from(statements, [encoder])
    aside = np.zeros(len(statements), dtype=bool)
    if keep < 1:
        aside[new] = keep_aside(statements[new].reset_index(drop=True), share=keep)
    else:
        aside = new
    known = np.flatnonzero(~new)
    order = np.random.default_rng(seed).permutation(known)
    chosen = new & ~aside
    chosen[order if replay is None else order[:replay]] = True
    return chosen, aside


def read_weights(folder: Path) -> Weights:
    """Read the weights of an encoder back from its ONNX file, by the names that torch gave them.

    Parameters
    ----------
    folder : Path
        Of an encoder that `training.encoder.export` wrote.

    Returns
    -------
    dict of str to ndarray of float32
        Matrices as of `torch.nn.Linear` (outputs, inputs). Off the trained ones by the rounding of int8.

    Raises
    ------
    DataError
        If it is no such file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    path = folder / ENCODER_FILE
    try:
        graph = onnx.load(path).graph
        stored = {part.name: onnx.numpy_helper.to_array(part) for part in graph.initializer}
        return _plain(stored) | _vectors(stored) | _matrices(stored, graph)
    except (OSError, ValueError, KeyError, StopIteration, DecodeError) as error:
        problem = (
            f"expected an encoder as 'tension-train encoder' writes it, found none ({error!r})."
        )
        raise DataError(str(path), problem, "Give the folder of an encoder.") from error


def take(net: Any, weights: Weights) -> None:
    """Give a network other weights, in place; its vocabulary becomes as large as theirs.

    Raises
    ------
    DataError
        If they are those of another network.
    """
    import torch

    words = weights["base.embeddings.word_embeddings.weight"]
    before = net.base.get_input_embeddings()
    net.base.set_input_embeddings(torch.nn.Embedding(*words.shape, padding_idx=before.padding_idx))
    given = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    wanted = {name for name, _ in net.named_parameters() if "pooler" not in name}
    if missing := sorted(wanted ^ given.keys()):
        problem = f"expected the weights of the same base, found others ({missing[0]} first)."
        raise DataError("encoder", problem, "Give --base the one that it was made of.")
    try:
        net.load_state_dict(given, strict=False)
    except RuntimeError as error:
        problem = f"expected weights of the same shapes, found others ({error})."
        raise DataError("encoder", problem, "Give --base the one that it was made of.") from error


def average(net: Any, before: Weights) -> None:
    """Set a network's weights to the mean of theirs and those from before, in place.

    It forgets less than by the last step alone (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
    """
    import torch

    with torch.no_grad():
        for name, weights in net.named_parameters():
            if name in before:
                weights.mul_(0.5).add_(torch.from_numpy(before[name]), alpha=0.5)


def _plain(stored: dict[str, NDArray[Any]]) -> Weights:
    """Take what was left as it is; of a small matrix, what was stored the other way round."""
    out = {}
    for name, array in stored.items():
        if name.endswith("_Transposed"):
            out[name.removesuffix("_Transposed")] = np.ascontiguousarray(array.T)
        elif array.dtype == np.float32 and name.endswith((".weight", ".bias")):
            out[name] = array
    return out


def _vectors(stored: dict[str, NDArray[Any]]) -> Weights:
    """Take the vectors of words and places: one scale for all."""
    out = {}
    for name in [name for name in stored if name.endswith("weight_quantized")]:
        plain = name.removesuffix("_quantized")
        zero = stored[f"{plain}_zero_point"].astype(np.float32)
        values = (stored[name].astype(np.float32) - zero) * stored[f"{plain}_scale"]
        out[plain] = values.astype(np.float32)
    return out


def _matrices(stored: dict[str, NDArray[Any]], graph: onnx.GraphProto) -> Weights:
    """Take the matrices of the layers: they have lost their names, the bias that is added to each has not."""
    adding = {name: node for node in graph.node if node.op_type == "Add" for name in node.input}
    out = {}
    for node in graph.node:
        if node.op_type != "MatMulNBits":
            continue
        blocks, scales = (stored[name] for name in node.input[1:3])
        added = adding[node.output[0]]
        bias = next(name for name in added.input if name.endswith(".bias"))
        plain = (blocks.astype(np.float32) - _ZERO) * scales.reshape(*blocks.shape[:2], 1)
        inputs = next(part.i for part in node.attribute if part.name == "K")
        matrix = plain.reshape(len(blocks), -1)[:, :inputs]
        out[bias.removesuffix("bias") + "weight"] = np.ascontiguousarray(matrix, np.float32)
    return out
