"""Retraining: from labelled statements to a shipped model."""
