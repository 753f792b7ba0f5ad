"""How notebooks show a module: the tree below it, to fold and unfold."""

from __future__ import annotations

from html import escape
from typing import Any

_OPEN = 2  # levels that are shown at first


def html(module: Any, name: str = "", depth: int = 0) -> str:
    """The module as HTML: its class, settings and parameters, and below those of its modules."""
    own = escape(f"{module._get_name()}({module.extra_repr()})")
    label = f"<b>{escape(name)}</b>: {own}" if name else own
    parameters = list(module.parameters())
    if parameters:
        frozen = sum(p.numel() for p in parameters if not p.requires_grad)
        told = f"{sum(p.numel() for p in parameters):,} parameters" + (
            f", {frozen:,} frozen" if frozen else ""
        )
        label += f" <small>{told}</small>"
    below = [html(child, key, depth + 1) for key, child in module._modules.items() if child]
    line = f'<span style="font-family:monospace">{label}</span>'
    if not below:
        return f'<div style="margin-left:1em">{line}</div>'
    opened = " open" if depth < _OPEN else ""
    return (
        f'<details style="margin-left:1em"{opened}><summary>{line}</summary>{"".join(below)}'
        "</details>"
    )
