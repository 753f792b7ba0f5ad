"""Gradient rules in words, for those who are learning them."""

from __future__ import annotations

_WORDS = {
    "add": "A sum hands the gradient on to both terms, as it is.",
    "subtract": "The first term gets the gradient as it is, the second with its sign changed.",
    "multiply": "Each factor gets the gradient times the other factor.",
    "divide": "The numerator a gets g / b; the denominator b gets -g a / b².",
    "negative": "The gradient's sign changes.",
    "power": "The base a of a^b gets g b a^(b-1), the exponent g log(a) a^b.",
    "square": "x² has the slope 2x: the input gets 2 x g.",
    "reciprocal": "1 / x has the slope -1 / x²: the input gets -g / x².",
    "sqrt": "The root y has the slope 1 / (2 y): the input gets g / (2 y).",
    "rsqrt": "y = 1 / √x has the slope -y³ / 2: the input gets -g y³ / 2.",
    "exp": "exp is its own slope: the input gets g times the result.",
    "log": "log has the slope 1 / x: the input gets g / x.",
    "sin": "The slope of sin is cos: the input gets g cos(x).",
    "cos": "The slope of cos is -sin: the input gets -g sin(x).",
    "tanh": "tanh has the slope 1 - y², of its result y: the input gets g (1 - y²).",
    "sigmoid": "The sigmoid has the slope y (1 - y), of its result y: the input gets g y (1 - y).",
    "relu": "The gradient passes where the input was positive, and stops elsewhere.",
    "absolute": "The gradient gets the sign of the input.",
    "gelu": "x Φ(x) has the slope Φ(x) + x φ(x): the input gets that times g.",
    "silu": "x s(x) has the slope s (1 + x (1 - s)), s being the sigmoid of x.",
    "sum": "Every element that was added up gets the same gradient: it is repeated.",
    "mean": "Every one of the n elements gets the same gradient, divided by n.",
    "amax": "Only the largest element gets the gradient; equal ones share it.",
    "max": "Only the largest element gets the gradient.",
    "matmul": "In Y = A B, A gets G Bᵀ and B gets Aᵀ G.",
    "addmm": "In Y = X + A B, X gets G, A gets G Bᵀ and B gets Aᵀ G.",
    "linear": "In y = x Wᵀ + b, x gets g W, W gets gᵀ x, and b the sum of g over the batch.",
    "feed_forward": "As of its two linear layers, with the slope of gelu between them.",
    "convolution_relu": "As of its convolution, of the gradient where the result is positive.",
    "reshape": "The gradient takes the input's shape: nothing is computed.",
    "permute": "The gradient's dimensions go back to their old order: nothing is computed.",
    "transpose": "The gradient's dimensions go back to their old order: nothing is computed.",
    "broadcast_to": "What was repeated gets the sum of the gradients of its copies.",
    "getitem": "The gradient goes to the places that were read; all others get 0.",
    "concatenate": "The gradient is cut into the parts that were joined.",
    "stack": "The gradient is cut into the parts that were joined.",
    "where": "The gradient goes to the one that was chosen, 0 to the other.",
    "clip": "The gradient passes where the input lay within the bounds, and stops elsewhere.",
    "maximum": "The gradient goes to the larger of the two; where they are equal, half to each.",
    "minimum": "The gradient goes to the smaller of the two; where they are equal, half to each.",
    "softmax": "With the result y, the input gets y (g - Σ g y): raising one lowers the others.",
    "log_softmax": "With the result y, the input gets g - exp(y) Σ g.",
    "cross_entropy": "The scores get g (their softmax, less 1 at the right class).",
    "layer_norm": "The gradient, without the parts that would change the mean or the deviation.",
    "alias": "The same tensor under another name: the gradient goes through.",
    "clone": "A copy: the gradient goes through.",
    "cast": "Another dtype: the gradient is converted back.",
}


def in_words(primitive: str) -> str:
    """What the gradient rule of a primitive does, as a sentence; of one without a sentence, where
    to find its rule."""
    return _WORDS.get(primitive, f"The rule of '{primitive}' makes the gradients of its inputs.")
