"""Tensors, devices and the tape: what everything else stands on."""
