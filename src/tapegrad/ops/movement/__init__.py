"""Views and copies that move elements and change shapes."""
