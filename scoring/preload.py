"""Imported by the process that those of ``--jobs`` are forked from (`scoring.workers`)."""

from scoring.workers import preload

preload()
