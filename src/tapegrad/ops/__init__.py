"""The operations, by family. Each is a row or a small function beside its gradient rule."""
