"""Convolutions, and the windows they share with pooling."""
