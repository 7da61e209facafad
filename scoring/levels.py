"""The four ordinal levels of the codebook, in one place.

The codebook (`docs/codebook.md`) defines them; `codebook.toml` beside this file carries the same
facts for programs. Nothing else in the package spells a level's number.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final

LEVELS: Final[tuple[str, ...]] = ("none", "protest", "warning", "threat")
"""Level names, index = code of the codebook (0..3)."""

CODE: Final[dict[str, int]] = {name: code for code, name in enumerate(LEVELS)}
"""Level name -> code."""

PROBABILITIES: Final[tuple[str, ...]] = tuple(f"p_{name}" for name in LEVELS)
"""Names of the probability columns, in the order of the levels."""


@cache
def codebook() -> dict[str, Any]:
    """Return the machine-readable codebook: ``version``, ``levels`` and ``organisations``."""
    return tomllib.loads((files(__package__) / "codebook.toml").read_text(encoding="utf-8"))
