"""examples/gpt2.py: the public layout of weights, the tokens, what it writes, bfloat16."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg

pytest.importorskip("ml_dtypes")
EXAMPLE = Path(__file__).parents[1] / "examples" / "gpt2.py"
gpt2 = SimpleNamespace(**runpy.run_path(str(EXAMPLE), run_name="gpt2"))

SIZES = {"vocab_size": 260, "n_positions": 12, "n_embd": 8, "n_layer": 2, "n_head": 2}
MERGES = [("h", "e"), ("Ġ", "t"), ("Ġt", "he")]
TOKENS = [*gpt2.SIGNS.values(), *map("".join, MERGES), gpt2.END]
LAYER = {
    "ln_1.weight": (8,), "ln_1.bias": (8,),
    "attn.c_attn.weight": (8, 24), "attn.c_attn.bias": (24,),
    "attn.c_proj.weight": (8, 8), "attn.c_proj.bias": (8,),
    "ln_2.weight": (8,), "ln_2.bias": (8,),
    "mlp.c_fc.weight": (8, 32), "mlp.c_fc.bias": (32,),
    "mlp.c_proj.weight": (32, 8), "mlp.c_proj.bias": (8,),
}  # fmt: skip
SHAPES = {
    "wte.weight": (260, 8), "wpe.weight": (12, 8),
    **{f"h.{i}.{name}": shape for i in range(2) for name, shape in LAYER.items()},
    "ln_f.weight": (8,), "ln_f.bias": (8,),
}  # fmt: skip
MASK = {"h.0.attn.bias": np.tril(np.ones((1, 1, 12, 12), np.float32))}


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {n: rng.normal(0, 0.3, shape).astype(np.float32) for n, shape in SHAPES.items()}


def logits(w: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    """GPT-2 by its paper, for one text, in doubles and loops over the heads."""
    w = {name: value.astype(float) for name, value in w.items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def product(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["wte.weight"][tokens] + w["wpe.weight"][: len(tokens)]
    for i in range(SIZES["n_layer"]):
        q, k, v = np.split(product(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn"), 3, axis=-1)
        heads = []
        for part in np.split(np.arange(8), SIZES["n_head"]):
            scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(len(part)))
            scores = np.tril(scores)
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
        x = x + product(np.concatenate(heads, -1), f"h.{i}.attn.c_proj")
        y = product(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        y = y / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        x = x + product(y, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].T


def write_folder(folder: Path, state: dict[str, np.ndarray]) -> Path:
    """A folder as Hugging Face lays it out."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file(state, folder / "model.safetensors")
    config = {**SIZES, "model_type": "gpt2", "activation_function": "gelu_new", "resid_pdrop": 0.1}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.json").write_text(json.dumps({sign: i for i, sign in enumerate(TOKENS)}))
    lines = ["#version: 0.2", *map(" ".join, MERGES), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


# ---------------------------------------------------------------------- weights

FILES: dict[str, Callable[[dict], dict]] = {
    "as published": lambda w: w | MASK,
    "of the model with a head": lambda w: {f"transformer.{n}": v for n, v in (w | MASK).items()},
    "with the head": lambda w: w | {"lm_head.weight": w["wte.weight"].copy()},
    "newer, without masks": lambda w: w,
    "in float16": lambda w: {n: v.astype(np.float16) for n, v in w.items()},
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("file", FILES)
def test_public_weights_give_what_the_paper_says(file: str, device: str, tmp_path: Path) -> None:
    w, tokens = weights(), [259, 5, 17, 200, 3, 3, 90]
    model, _ = gpt2.load(write_folder(tmp_path, FILES[file](w)))
    got = model.to(device)(tg.tensor([tokens], device=device))[0].detach().cpu()
    if "float16" in file:
        w = {n: v.astype(np.float16) for n, v in w.items()}
    np.testing.assert_allclose(got.numpy(), logits(w, tokens), rtol=1e-4, atol=1e-4)


def test_what_is_saved_has_the_public_layout(tmp_path: Path) -> None:
    load_file = pytest.importorskip("safetensors.numpy").load_file
    first = write_folder(tmp_path, weights() | MASK)
    again = tmp_path / "again"
    again.mkdir()
    gpt2.save(*gpt2.load(first), again)
    saved = load_file(again / "model.safetensors")
    assert {name: value.shape for name, value in saved.items()} == SHAPES
    assert all(np.array_equal(saved[name], value) for name, value in weights().items())
    for name in ("vocab.json", "merges.txt"):
        a, b = ((folder / name).read_text(encoding="utf-8") for folder in (first, again))
        assert json.loads(a) == json.loads(b) if name == "vocab.json" else a == b
    config = json.loads((again / "config.json").read_text())
    assert config.items() >= SIZES.items()


def test_sizes_are_those_of_the_smallest_public_model_unless_told() -> None:
    """Counted, not made: 124,439,808 parameters."""
    width, layers = 768, 12
    layer = sum(np.prod([n * width // 8 for n in shape]) for shape in LAYER.values())
    total = (50257 + 1024) * width + layers * layer + 2 * width
    assert total == 124_439_808
    config = gpt2.Config()
    assert (config.n_embd, config.n_layer, config.n_positions) == (width, layers, 1024)


# Weights, or files that replace the folder's, and what the error says.
WRONG: dict[str, tuple[Callable[[dict], dict], dict[str, str | None], str]] = {
    "a shape": (
        lambda w: w | {"h.1.mlp.c_fc.bias": w["ln_f.bias"]}, {},
        r"'h.1.mlp.c_fc.bias': the state_dict has \(8,\), the module has \(32,\)",
    ),
    "not transposed": (
        lambda w: w | {"h.0.mlp.c_fc.weight": np.zeros((32, 8), np.float32)}, {},
        r"'h.0.mlp.c_fc.weight': the state_dict has",
    ),
    "an unknown name": (
        lambda w: w | {"h.2.ln_1.bias": w["ln_f.bias"]}, {}, "unexpected keys: 'h.2.ln_1.bias'",
    ),
    "a missing name": (
        lambda w: {n: v for n, v in w.items() if n != "wpe.weight"}, {},
        "missing keys: 'wpe.weight'",
    ),
    "another head": (
        lambda w: w | {"lm_head.weight": -w["wte.weight"]}, {}, "lm_head.weight is not wte.weight",
    ),
    "no weights": (lambda w: w, {"model.safetensors": None}, "is a folder without"),
    "half of the weights": (lambda w: w, {"model.safetensors": "?"}, "safetensors: it is damaged"),
    "no vocabulary": (lambda w: w, {"vocab.json": None}, "No such file .*vocab.json"),
    "no merges": (lambda w: w, {"merges.txt": None}, "No such file .*merges.txt"),
    "a broken vocabulary": (lambda w: w, {"vocab.json": "{"}, "vocab.json: Expecting"),
    "a vocabulary without bytes": (lambda w: w, {"vocab.json": '{"a": 0}'}, "vocab.json has no '"),
    "a token too many": (
        lambda w: w, {"vocab.json": json.dumps({s: i for i, s in enumerate([*TOKENS, "tt"])})},
        "vocab.json has 261 tokens, and wte.weight only 260 rows",
    ),
    "another network": (
        lambda w: w, {"config.json": '{"activation_function": "relu"}'},
        "activation_function is relu, and here it is always gelu_new",
    ),
    "no token 0": (
        lambda w: w, {"vocab.json": json.dumps({s: i + 1 for i, s in enumerate(TOKENS)})},
        "vocab.json does not count its tokens, from 0 on",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_folder_is_told_by_name(case: str, tmp_path: Path, capsys: Any) -> None:
    change, files, message = WRONG[case]
    folder = write_folder(tmp_path, change(weights()))
    for name, text in files.items():
        (folder / name).unlink()
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    assert re.search(message, refused(capsys, "--from", str(folder), "--steps", "0"))


ARGUMENTS = {
    "no folder": (["--from", "nowhere"], "No such file or directory: 'nowhere"),
    "no text": (["--text", "nowhere.txt"], "No such file or directory: 'nowhere.txt'"),
    "a text in other bytes": (["--text", "other.txt"], "other.txt: 'utf-8' codec can't decode"),
    "a folder that is a file": (["--save", "short.txt"], "File exists: 'short.txt'"),
    "a short text": (["--text", "short.txt"], "short.txt: of 11 tokens the last tenth"),
    "no batch": (["--batch", "0"], "--batch, --context, --accumulate and --top-k are 1 or more"),
    "a device": (["--device", "tpu"], "tpu"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_wrong_arguments(case: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short.txt").write_text("hello world")
    Path("other.txt").write_bytes("naïve".encode("latin-1"))
    arguments, message = ARGUMENTS[case]
    assert message in refused(capsys, *arguments)


def refused(capsys: Any, *arguments: str) -> str:
    """What the command says before it ends with an error."""
    with pytest.raises(SystemExit) as ended:
        command(*arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def command(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gpt2.py", "--tiny", *arguments])
        gpt2.main()


def test_what_was_learned_is_saved_and_goes_on(tmp_path: Path, capsys: Any) -> None:
    few = ["--steps", "2", "--length", "5", "--temperature", "0"]
    command(*few, "--save", str(tmp_path / "a" / "b"))
    first = capsys.readouterr().out
    assert re.search(r"^score: \d\.\d+ nats a token", first, re.M)
    command(*few, "--steps", "0", "--from", str(tmp_path / "a" / "b"))
    assert first.endswith(capsys.readouterr().out.split("cpu\n")[1])  # it writes the same
    command("--steps", "1", "--from", str(tmp_path / "a" / "b"))
    assert re.search(r"^step +1: \d\.\d+ nats", capsys.readouterr().out, re.M)


# ---------------------------------------------------------------------- tokens

# A text, and its pieces, in front of which a space stands as Ġ.
PIECES = {
    "Hello world": ["Hello", "Ġworld"],
    "they're we'll I'm don't": ["they", "'re", "Ġwe", "'ll", "ĠI", "'m", "Ġdon", "'t"],
    "HE'S": ["HE", "'", "S"],
    "in 1851, 12½ Ⅷ x2": ["in", "Ġ1851", ",", "Ġ12½", "ĠⅧ", "Ġx", "2"],
    "a  b   \n c\n": ["a", "Ġ", "Ġb", "ĠĠĠ\n", "Ġc", "\n"],
    "snake_case (x)": ["snake", "_", "case", "Ġ(", "x", ")"],
    "naïve 中文 ٣": ["naïve", "Ġ中文", "Ġ٣"],
    "end  ": ["end", "ĠĠ"],
    "": [],
}


@pytest.mark.parametrize("text", PIECES)
def test_pieces(text: str) -> None:
    expected = [piece.replace("Ġ", " ") for piece in PIECES[text]]
    assert gpt2.PIECES.findall(text) == expected


def test_pieces_are_those_of_the_published_expression() -> None:
    regex = pytest.importorskip("regex")
    published = regex.compile(
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    )
    rng = np.random.default_rng(0)
    signs = [*"ab1²Ⅷ ½'.!\n\t \xa0_-é中٣😀", "'s", "'ll", "'re", "́", "ʰ"]
    for _ in range(2000):
        text = "".join(rng.choice(signs, 12))
        assert gpt2.PIECES.findall(text) == published.findall(text), repr(text)


ENCODED = {
    "the": ["t", "he"],  # the second merge is of " t"
    " the": ["Ġthe"],
    "he the": ["he", "Ġthe"],
    " tt": ["Ġt", "t"],
    "é": ["Ã", "©"],
    f"a{gpt2.END}the": ["a", gpt2.END, "t", "he"],
    "<|endof": list("<|endof"),
}


@pytest.mark.parametrize("text", ENCODED)
def test_merges_in_their_order(text: str) -> None:
    tokenizer = gpt2.Tokenizer({sign: i for i, sign in enumerate(TOKENS)}, MERGES)
    numbers = tokenizer.encode(text)
    assert [TOKENS[number] for number in numbers] == ENCODED[text]
    assert tokenizer.decode(numbers) == text


def test_without_merges_every_byte_is_a_token() -> None:
    tokenizer = gpt2.Tokenizer()
    text = bytes(range(128)).decode() + "ÿ中😀"
    assert sorted(tokenizer.texts) == list(range(257))
    assert len(tokenizer.encode(text)) == len(text.encode())
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode("中")[:2]) == "�"  # a part of a letter


# ---------------------------------------------------------------------- what it writes


def test_writing(tmp_path: Path) -> None:
    model, tokenizer = gpt2.load(write_folder(tmp_path, weights()))
    numbers, expected = tokenizer.encode("he"), []
    for _ in range(20):  # more than it has positions
        scores = logits(weights(), (numbers + expected)[-SIZES["n_positions"] :])[-1]
        expected.append(int(scores.argmax()))
    greedy = gpt2.write(model, tokenizer, "he", 20, temperature=0)
    assert greedy == tokenizer.decode(numbers + expected)
    assert gpt2.write(model, tokenizer, "he", 20, top_k=1) == greedy
    tg.manual_seed(0)
    drawn = gpt2.write(model, tokenizer, "he", 20, temperature=5)
    assert drawn.startswith("he")
    assert drawn != greedy
    with tg.no_grad():
        model.ln_f.weight.zero_()
        model.ln_f.bias.copy_(100 * model.wte.weight[tokenizer.numbers[gpt2.END]])
    assert gpt2.write(model, tokenizer, "he", 20, temperature=0) == "he" + gpt2.END


# ---------------------------------------------------------------------- bfloat16


def losses(dtype: str, device: str, steps: int) -> np.ndarray:
    """The losses on a text whose next letter can be learned, with the same numbers drawn."""
    tg.manual_seed(0)
    model = gpt2.GPT2(gpt2.Config(32, 16, 32, 2, 2)).to(device)
    text = [i * i % 23 for i in range(400)]
    options = SimpleNamespace(steps=steps, batch=4, context=16, accumulate=1, lr=1e-2, dtype=dtype)
    found = gpt2.train(model, tg.tensor(text, device=device), options)
    return tg.stack(found).cpu().numpy()


@pytest.mark.parametrize("device", DEVICES)
def test_bfloat16_trains_to_within_a_hundredth_of_float32(device: str) -> None:
    low, full = (losses(dtype, device, 20) for dtype in ("bfloat16", "float32"))
    assert full[-1] < 0.7 * full[0]
    assert not np.array_equal(low, full)
    np.testing.assert_allclose(low[-5:].mean(), full[-5:].mean(), rtol=0.01)
