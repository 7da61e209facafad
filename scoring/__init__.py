"""Score statements between states for escalation: none < protest < warning < threat, and who says it to whom.

>>> import scoring
>>> scorer = scoring.load()
>>> scorer.score("Moscow warned Seoul of asymmetric retaliation if it arms Kyiv.")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring.scorer import Scorer, load

__all__ = ["Scorer", "load"]


def __getattr__(name: str) -> Any:
    """Import the scorer when it is first asked for: ``import scoring`` itself stays light."""
    if name in __all__:
        from scoring import scorer

        return getattr(scorer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
