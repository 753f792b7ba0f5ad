"""Programs as researchers write them, each a function of the library: ``program(torch)``."""

import numpy as np


def numbers(seed, *shape):
    """Normal random numbers, the same for every library."""
    return np.random.default_rng(seed).standard_normal(shape)


def start(torch, module, seed=0):
    """Fill the parameters of ``module`` with numbers that every library is given alike."""
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            scale = 1 / max(1, parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.1
            shift = 1.0 if parameter.dim() == 1 and "norm" in type(module).__name__.lower() else 0.0
            values = numbers([seed, i], *parameter.shape) * scale + shift
            parameter.copy_(torch.tensor(values))
    return module
