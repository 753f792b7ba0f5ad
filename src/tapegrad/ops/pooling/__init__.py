"""Pooling and its inverses."""
