"""The files of PyTorch's from which scripts import, and settings that change nothing."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import stand_in
from tapegrad.utils import _pytree

# File -> names that scripts take from it. Not all are attributes of the folder under that name:
# where the folder has a function of the file's name, that is one.
FILES = {
    "__config__": "show parallel_info",
    "__future__": "get_swap_module_params_on_conversion set_swap_module_params_on_conversion",
    "amp.autocast_mode": "autocast custom_bwd custom_fwd",
    "amp.grad_scaler": "GradScaler",
    "autograd.anomaly_mode": "detect_anomaly set_detect_anomaly",
    "autograd.function": "Function FunctionCtx once_differentiable",
    "autograd.functional": "jacobian hessian",
    "autograd.grad_mode": "enable_grad inference_mode no_grad set_grad_enabled",
    "autograd.gradcheck": "gradcheck gradgradcheck",
    "autograd.graph": "saved_tensors_hooks",
    "cpu.amp.autocast_mode": "autocast",
    "cuda.amp": "autocast GradScaler custom_bwd custom_fwd",
    "cuda.amp.autocast_mode": "autocast custom_bwd custom_fwd",
    "cuda.amp.grad_scaler": "GradScaler",
    "cuda.random": "manual_seed_all get_rng_state set_rng_state_all",
    "distributed.algorithms.join": "Join",
    "distributed.device_mesh": "init_device_mesh",
    "distributed.distributed_c10d": "all_reduce init_process_group",
    "distributed.elastic.multiprocessing.errors": "record",
    "distributed.fsdp": "FullyShardedDataParallel fully_shard",
    "distributed.optim": "ZeroRedundancyOptimizer",
    "distributions.constraint_registry": "biject_to transform_to",
    "distributions.half_cauchy": "HalfCauchy",
    "distributions.kl": "kl_divergence register_kl",
    "distributions.multivariate_normal": "MultivariateNormal",
    "distributions.transformed_distribution": "TransformedDistribution",
    "distributions.transforms": "AffineTransform",
    "distributions.utils": "broadcast_all lazy_property probs_to_logits",
    "nn.modules.container": "Sequential ModuleList",
    "nn.modules.rnn": "LSTM RNNBase",
    "nn.modules.transformer": "TransformerEncoderLayer",
    "nn.parallel": "DataParallel gather parallel_apply replicate scatter",
    "nn.parallel.data_parallel": "DataParallel data_parallel",
    "nn.parallel.distributed": "DistributedDataParallel",
    "nn.parallel.parallel_apply": "parallel_apply",
    "nn.parallel.replicate": "replicate",
    "nn.parallel.scatter_gather": "gather scatter",
    "nn.utils.clip_grad": "clip_grad_norm_ clip_grad_value_",
    "nn.utils.convert_parameters": "parameters_to_vector vector_to_parameters",
    "nn.utils.memory_format": "convert_conv2d_weight_memory_format",
    "nn.utils.parametrizations": "orthogonal weight_norm",
    "nn.utils.rnn": "pack_padded_sequence pad_sequence PackedSequence",
    "nn.utils.spectral_norm": "spectral_norm SpectralNorm",
    "nn.utils.weight_norm": "weight_norm WeightNorm",
    "optim.adam": "Adam",
    "optim.adamw": "AdamW",
    "optim.lr_scheduler": "LRScheduler _LRScheduler CosineAnnealingLR",
    "optim.optimizer": "Optimizer required",
    "optim.sgd": "SGD",
    "optim.swa_utils": "AveragedModel SWALR update_bn",
    "profiler.profiler": "profile schedule",
    "utils._pytree": "tree_flatten tree_map tree_map_only tree_unflatten",
    "utils.checkpoint": "checkpoint checkpoint_sequential",
    "utils.data._utils.collate": "default_collate",
    "utils.data._utils.worker": "get_worker_info",
    "utils.data.dataloader": "DataLoader default_collate",
    "utils.data.dataset": "Dataset Subset random_split",
    "utils.data.distributed": "DistributedSampler",
    "utils.data.sampler": "BatchSampler Sampler SubsetRandomSampler",
    "utils.hooks": "RemovableHandle",
}
FUNCTIONS = {
    "autograd.gradcheck",
    "nn.parallel.data_parallel",
    "nn.parallel.parallel_apply",
    "nn.parallel.replicate",
    "nn.utils.spectral_norm",
    "nn.utils.weight_norm",
}

CODE = """
import types
import torch
for file, names in {files!r}.items():
    try:
        exec(f"from torch.{{file}} import {{', '.join(names.split())}}")
        exec(f"import torch.{{file}} as file_itself")
    except ImportError as error:
        print(file, error)
"""
ATTRIBUTES = """
for file in {files!r}:
    found = eval(f"torch.{{file}}")
    if isinstance(found, types.ModuleType) == (file in {functions!r}):
        print(file, "is", found)
"""


@pytest.mark.parametrize("library", ["tapegrad", "torch"])
def test_files_have_the_names_that_scripts_take_from_them(library: str) -> None:
    code = CODE.format(files=FILES)
    if library == "tapegrad":
        code += ATTRIBUTES.format(files=FILES, functions=FUNCTIONS)
        code = f"import tapegrad.torch_names as t; t.install()\n{code}t.uninstall()\n"
    else:
        pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
        code = code.replace("import torch\n", "import torch, torch.distributed.algorithms.join\n")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_files_are_there_under_their_own_name() -> None:
    assert importlib.import_module("tapegrad.optim.adamw").AdamW is tg.optim.AdamW
    mode = importlib.import_module("tapegrad.autograd.grad_mode")
    assert {name: getattr(mode, name) for name in dir(mode)}["no_grad"] is tg.no_grad
    with pytest.raises(AttributeError, match=r"'tapegrad.autograd.grad_mode'.*'no_grad'\?"):
        mode.nograd  # noqa: B018


def test_settings_that_nobody_reads() -> None:
    for config in (tg._inductor.config, tg._dynamo.config, tg.compiler.config):
        config.triton.unique_kernel_names = True
        config.suppress_errors = True
        assert config.triton.unique_kernel_names
        assert config.suppress_errors
        assert not config.verbose
        with config.patch(verbose=True):
            pass
    assert importlib.import_module("tapegrad._inductor.config") is tg._inductor.config
    with pytest.raises(AttributeError, match="__path__"):
        stand_in.settings("anything").__path__  # noqa: B018


def test_what_it_was_built_with() -> None:
    assert f"tapegrad {tg._version.__version__}\n  - NumPy" in tg.__config__.show()
    assert tg.__config__.parallel_info().endswith(f"{tg.get_num_threads()}\n")


def test_a_conversion_keeps_parameters() -> None:
    for name in ("overwrite_module_params", "swap_module_params"):
        get = getattr(tg.__future__, f"get_{name}_on_conversion")
        set_ = getattr(tg.__future__, f"set_{name}_on_conversion")
        set_(False)
        assert get() is False
        with pytest.raises(NotImplementedError, match=rf"\[set_{name}_on_conversion\] .*keeps its"):
            set_(True)


TREES: list[Any] = [{"a": [1, (2, 3)], "b": 4}, [], 5, [None, {"x": (6,)}]]


@pytest.mark.parametrize("tree", TREES)
def test_trees_are_taken_apart_and_put_together(tree: Any) -> None:
    leaves, spec = _pytree.tree_flatten(tree)
    assert _pytree.tree_unflatten(leaves, spec) == tree
    assert _pytree.tree_map(lambda *both: both, tree, tree) == spec.unflatten(
        [(x, x) for x in leaves]
    )
    assert _pytree.tree_map_only(int, str, tree) == _pytree.tree_map(
        lambda x: str(x) if isinstance(x, int) else x, tree
    )
    with pytest.raises(ValueError, match=r"has \d leaves, got"):
        spec.unflatten([*leaves, 1])
    with pytest.raises(ValueError, match=r"\[tree_map\] the trees differ"):
        _pytree.tree_map(max, tree, {"another": 1})
    theirs = pytest.importorskip("torch.utils._pytree", reason="the oracle", exc_type=ImportError)
    assert leaves == theirs.tree_flatten(tree)[0] == _pytree.tree_leaves(tree)
    for ask in ("tree_any", "tree_all"):
        mine = getattr(_pytree, ask)(lambda x: x == 4, tree)
        assert mine == getattr(theirs, ask)(lambda x: x == 4, tree)


def test_functions_take_no_nested_tensors() -> None:
    with pytest.raises(AttributeError, match=r"NestedIOFunction.*tensors one by one"):
        tg.autograd.function.NestedIOFunction  # noqa: B018


@pytest.mark.parametrize(
    "options",
    [
        {"pickle_protocol": 4},
        {"pickle_module": pickle, "pickle_protocol": pickle.HIGHEST_PROTOCOL},
        {"_use_new_zipfile_serialization": False},
    ],
)
def test_how_pytorch_pickles_changes_nothing(options: dict, tmp_path: Path) -> None:
    tg.save({"x": tg.ones(2)}, tmp_path / "a.npz")
    tg.save({"x": tg.ones(2)}, tmp_path / "b.npz", **options)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert tg.load(tmp_path / "b.npz")["x"].tolist() == [1, 1]
