"""Making tensors, and moving them between dtypes and devices."""
