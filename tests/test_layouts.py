"""Where results lie in memory as PyTorch's do, so that ``view`` takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

SIZES = dict(zip("abcdhijklmnqtvwe", [2, 3, 4, 5, 2, 3, 5, 6, 3, 6, 7, 2, 4, 3, 5, 4], strict=True))
EQUATIONS = """
ij,jk->ik ij,jk->ki ij,kj->ik bij,bjk->bik bij,bjk->bki bij,bkj->bik bhqd,bhkd->bhqk
bhqk,bhkd->bhqd bqhd,bkhd->bhqk bhqk,bkhd->bqhd bhqk,bkhd->bhqd i,j->ij i,j->ji ij->ji ij->i ij->j
ij-> bij->bji ij,j->i ij,j->ij bij,j->bi ijk,kl->ijl ijk,kl->lij ijk,ljk->il bnd,ndh->bnh
btd,dhk->bthk bthk,hkd->btd nctv,vw->nctw nctv,kvw->nctw nkctv,kvw->nctw abc,abd->acd abc,acd->abd
ab,cd->abcd ijkl->lkji ij,i->ij b,bij->bij
"""


def einsum(t: Any, equation: str) -> Any:
    operands = equation.partition("->")[0].split(",")
    rng = np.random.default_rng(0)
    return t.einsum(
        equation, *(t.tensor(rng.standard_normal([SIZES[c] for c in x])) for x in operands)
    )


@pytest.mark.parametrize("equation", EQUATIONS.split())
def test_einsum_results_are_contiguous_where_pytorchs_are(equation: str) -> None:
    ours = einsum(tg, equation)
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    theirs = einsum(torch, equation)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-12)
    assert ours.is_contiguous() == theirs.is_contiguous()


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": "zeros"}])
def test_heads_are_put_together_by_a_view(device: str, options: dict) -> None:
    def attended(t: Any) -> Any:
        x = t.linspace(-1, 1, 120, device=device if t is tg else "cpu").requires_grad_()
        heads = x.view(2, 4, 3, 5).transpose(1, 2)
        more = {k: t.zeros(4, 4) if v == "zeros" else v for k, v in options.items()}
        if t is tg and "attn_mask" in more:
            more["attn_mask"] = more["attn_mask"].to(device)
        y = t.nn.functional.scaled_dot_product_attention(heads, heads, heads, **more)
        assert y.transpose(1, 2).is_contiguous()
        together = y.transpose(1, 2).view(2, 4, 15)
        together.square().sum().backward()
        return together.detach().cpu().numpy(), x.grad.cpu().numpy()

    ours = attended(tg)
    x = tg.ones(2, 3, 4, 5)
    assert tg.nn.functional.scaled_dot_product_attention(x, x, x).is_contiguous()
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    for got, expected in zip(ours, attended(torch), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
