"""The review queue: pick statements worth labelling, code them, compare the coders, merge what they agree on.

`pick` chooses, `coding` asks at a terminal, `sheets` are for who labels elsewhere; `codes` is the file of answers that
both write. `agreement` and `merge` read it, and `study` measures what the choice is worth.
"""
