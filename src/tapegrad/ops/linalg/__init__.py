"""Products, factorisations, systems and norms."""
