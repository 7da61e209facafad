"""A digest of what the features are: a model is worth nothing with other features than it was trained with."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

from scoring.actors import Mention
from scoring.dyads import candidates
from scoring.features import mask, statement_features

_PROBES: Final = (
    "Alpha warned Beta that it would retaliate “forcefully” if the 3 tariffs weren't lifted.",
    "Beta's ministry rejects the claim; Alpha will bear full responsibility - spokesman",
)
"""Sentences whose features are part of the digest; their two actors are given, whatever the actor table holds."""


def fingerprint() -> str:
    """Digest the cue groups and the features of a few sentences.

    Returns
    -------
    str
        16 hex digits; they change with ``data/cues.toml`` and with what `scoring.features` or `scoring.dyads` make of
        a sentence, not with how their code is written.
    """
    digest = hashlib.sha256((files(__package__) / "data" / "cues.toml").read_bytes())
    for probe in _PROBES:
        found = sorted((probe.index(name), name) for name in ("Alpha", "Beta"))
        mentions = [Mention(at, at + len(name), name, "name") for at, name in found]
        features = [*statement_features(mask(probe, mentions))]
        for candidate in candidates(probe, mentions):
            features += candidate.features
        digest.update("\n".join(features).encode())
    return digest.hexdigest()[:16]
