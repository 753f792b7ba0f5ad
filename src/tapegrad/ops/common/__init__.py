"""What operations share: arguments, promotion, precision, ``out=``."""
