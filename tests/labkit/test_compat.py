"""Shims and filters: they work, they are silent, and each is still needed.

Shims are tried in processes of their own: an import can not be undone.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from labkit.compat.shims import REASONS

from labkit import compat, zoo

MODULES = {
    "load_auto_gptq": "auto_gptq",
    "load_awq": "awq",
    "load_nni_nas": "nni",
    "load_nni_speedup": "nni",
    "load_neural_compressor": "neural_compressor",
}

# What goes wrong without the shim: code, and a part of what it then says.
WITHOUT = {
    "load_auto_gptq": ("import auto_gptq", "no_init_weights"),
    "load_awq": ("import awq", "final dev message"),
    "load_neural_compressor": ("import neural_compressor.torch.quantization", "Auto detect accelerator"),
    "load_nni_nas": ("import nni.nas.nn.pytorch", "is found to be not a nn.Module"),
    "load_nni_speedup": ("import nni.compression.speedup", "_register_pytree_node` is deprecated"),
}


def python(code: str) -> subprocess.CompletedProcess[str]:
    source = Path(compat.__file__).parents[2]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(source)}
    quiet = "from labkit.compat.logs import quiet_imports; quiet_imports()\n"
    return subprocess.run(
        [sys.executable, "-c", quiet + code], capture_output=True, text=True, env=environment, timeout=200
    )


def need(loader: str) -> None:
    if importlib.util.find_spec(MODULES[loader]) is None:
        pytest.skip(f"{MODULES[loader]} is not installed")


@pytest.mark.parametrize("loader", ["load_awq", "load_neural_compressor"])
def test_a_shimmed_library_imports_in_silence(loader: str) -> None:
    need(loader)
    done = python(f"from labkit import compat; compat.{loader}()")
    assert done.returncode == 0 and done.stderr == "", done.stderr[-600:]


@pytest.mark.parametrize("loader", MODULES)
def test_each_shim_is_still_needed(loader: str) -> None:
    """When this fails the library was mended: remove the shim."""
    need(loader)
    code, complaint = WITHOUT[loader]
    done = python(code)
    assert complaint in done.stderr, f"{REASONS[MODULES[loader]]} No longer so?"


@pytest.mark.nightly
def test_auto_gptq_quantizes_on_the_cpu_in_silence() -> None:
    need("load_auto_gptq")
    done = python(
        "import torch\n"
        "from labkit import compat, zoo\n"
        "compat.load_auto_gptq()\n"
        "from auto_gptq import BaseQuantizeConfig\n"
        "from auto_gptq.modeling import LlamaGPTQForCausalLM\n"
        "model = zoo.build('llama', num_hidden_layers=1).eval()\n"
        "settings = BaseQuantizeConfig(bits=4, group_size=32, desc_act=False)\n"
        "wrapped = LlamaGPTQForCausalLM(model, False, settings)\n"
        "ids = torch.randint(5, 500, (1, 32))\n"
        "with compat.gptq_on_cpu(model.model.layers):\n"
        "    wrapped.quantize([{'input_ids': ids, 'attention_mask': torch.ones_like(ids)}],\n"
        "        use_triton=False, cache_examples_on_gpu=False)\n"
        "print(type(model.model.layers[0].mlp.up_proj).__name__)\n"
    )
    assert done.returncode == 0, done.stderr[-600:]
    assert "QuantLinear" in done.stdout and done.stderr == ""


@pytest.mark.nightly
def test_autoawq_quantizes_and_reloads_on_the_cpu_in_silence(tmp_path: Path) -> None:
    need("load_awq")
    code = (
        "import contextlib, sys, torch\n"
        "from labkit import compat, runtime, zoo\n"
        "runtime.start()\n"
        "awq = compat.load_awq()\n"
        "folder = sys.argv[1]\n"
        "zoo.build('llama', num_hidden_layers=1).eval().save_pretrained(folder + '/model')\n"
        "tokenizer = zoo.tokenizer('llama')\n"
        "tokenizer.save_pretrained(folder + '/model')\n"
        "quiet = compat.awq_on_cpu() if sys.argv[2] == 'quiet' else contextlib.nullcontext()\n"
        "with quiet:\n"
        "    model = awq.AutoAWQForCausalLM.from_pretrained(folder + '/model', device_map='cpu',\n"
        "        torch_dtype=torch.float32, use_cache=False)\n"
        "    model.quantize(tokenizer, calib_data=['the union is strong ' * 20] * 16,\n"
        "        max_calib_samples=16, max_calib_seq_len=512, duo_scaling=False, quant_config={'zero_point': True,\n"
        "        'q_group_size': 32, 'w_bit': 4, 'version': 'GEMM'})\n"
        "    model.save_quantized(folder + '/awq')\n"
        "    again = awq.AutoAWQForCausalLM.from_quantized(folder + '/awq', fuse_layers=False,\n"
        "        device_map={'': 'cpu'}, torch_dtype=torch.float16)\n"
        "print(type(again.model.model.layers[0].mlp.up_proj).__name__)\n"
    )
    source = Path(compat.__file__).parents[2]
    for how in ("quiet", "loud"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), how],
            capture_output=True, text=True, timeout=300,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(source)},
        )  # fmt: skip
        assert done.returncode == 0 and "WQLinear" in done.stdout, done.stderr[-600:]
        assert (done.stderr == "") == (how == "quiet"), done.stderr[-600:]


@pytest.mark.nightly
def test_nni_traces_and_shrinks_a_model() -> None:
    need("load_nni_speedup")
    done = python(
        "import torch\n"
        "from labkit import compat\n"
        "compat.load_nni_speedup()\n"
        "from nni.compression.pruning import L1NormPruner\n"
        "from nni.compression.speedup import ModelSpeedup\n"
        "net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).eval()\n"
        "pruner = L1NormPruner(net, [{'op_names': ['0'], 'sparse_ratio': 0.5}])\n"
        "_, masks = pruner.compress()\n"
        "pruner.unwrap_model()\n"
        "small = ModelSpeedup(net, torch.randn(2, 8), masks).speedup_model()\n"
        "print(small[0].out_features)\n"
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr[-900:]
    assert done.stdout.split()[-1] == "8"


def test_nni_searches_in_a_folder_of_its_own_and_in_silence(tmp_path: Path) -> None:
    need("load_nni_nas")
    done = python(
        "import os\n"
        "from labkit import compat\n"
        "nas = compat.load_nni_nas()\n"
        "import nni\n"
        "from nni.mutable import ensure_frozen\n"
        "class Space(nas.nn.pytorch.ModelSpace):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.width = ensure_frozen(self.add_mutable(nni.choice('width', [8, 16, 32])))\n"
        "def measure(model):\n"
        "    nni.report_final_result(float(model.width))\n"
        f"with compat.nni_in({str(tmp_path / 'nni')!r}):\n"
        "    space, evaluator = Space(), nas.evaluator.FunctionalEvaluator(measure)\n"
        "    strategy = nas.strategy.GridSearch()\n"
        "    config = nas.experiment.NasExperimentConfig.default(space, evaluator, strategy)\n"
        "    config.execution_engine = nas.experiment.config.SequentialEngineConfig()\n"
        f"    config.experiment_working_directory = {str(tmp_path / 'nni')!r}\n"
        "    config.max_trial_number = 3\n"
        "    experiment = nas.experiment.NasExperiment(space, evaluator, strategy, config=config)\n"
        "    experiment.run()\n"
        "    print(experiment.export_top_models(1, formatter='dict'))\n"
        "    experiment.stop()\n"
        "print('NODE_OPTIONS' in os.environ)\n"
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr[-900:]
    assert done.stdout.splitlines() == ["[{'width': 32}]", "False"]
    assert (tmp_path / "nni" / "config").is_dir()


def test_nnis_server_listens_on_this_machine_alone(tmp_path: Path) -> None:
    need("load_nni_nas")
    server = "require('net').createServer().listen(%d, function () {console.log(this.address().address); this.close()})"
    done = python(
        "import pathlib, subprocess, nni_node\n"
        "from labkit import compat\n"
        "node = pathlib.Path(nni_node.__path__[0]) / 'node'\n"
        f"with compat.nni_in({str(tmp_path / 'a folder')!r}) as port:\n"
        f"    subprocess.run([node, '-e', {server!r} % port], check=True)\n"
    )
    assert done.stdout.split() == ["127.0.0.1"], done.stderr[-900:]


def test_the_two_import_messages_are_still_there() -> None:
    """When this fails, ``quiet_imports`` can go."""
    done = subprocess.run(
        [sys.executable, "-c", "from transformers import LlamaForCausalLM"], capture_output=True, text=True
    )
    if importlib.util.find_spec("torchao") is None:
        pytest.skip("torchao is not installed")
    assert "is an Enum subclass" in done.stderr or "Failed to load" in done.stderr


def warned(call: object) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()  # type: ignore[operator]
    return [str(item.message) for item in caught]


def test_sparse_csr_is_silent_and_the_plain_call_still_warns() -> None:
    matrix = torch.eye(4)
    assert warned(matrix.to_sparse_csr), "torch no longer warns: call to_sparse_csr directly"
    assert warned(lambda: compat.to_sparse_csr(matrix)) == []
    assert torch.equal(compat.to_sparse_csr(matrix).to_dense(), matrix)


def test_dynamic_quantization_is_silent_and_the_plain_call_still_warns() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 4)).eval()
    assert warned(lambda: torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}))
    assert warned(lambda: compat.quantize_dynamic(model)) == []
    assert isinstance(model[0], torch.nn.Linear)


def test_onnx_export_is_silent_and_refuses_train_mode(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = zoo.build("bert", attention="eager", num_hidden_layers=1)
    ids = torch.randint(5, 500, (2, 8))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with pytest.raises(ValueError, match="dropout"):
        compat.export_onnx(model, inputs, tmp_path / "m.onnx")
    assert warned(lambda: compat.export_onnx(model.eval(), inputs, tmp_path / "m.onnx")) == []
    assert (tmp_path / "m.onnx").stat().st_size > 100_000 and capfd.readouterr().err == ""


def test_only_the_named_warning_is_hidden() -> None:
    def two() -> None:
        with compat.without_warning(UserWarning, "expected"):
            warnings.warn("expected one", UserWarning, stacklevel=1)
            warnings.warn("another one", UserWarning, stacklevel=1)

    assert warned(two) == ["another one"]
    with pytest.raises(ValueError, match="name the warning"), compat.without_warning(UserWarning, ""):
        pass


def test_only_the_named_record_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("labkit.test")
    with compat.without_log("labkit.test", "expected"):
        logger.warning("expected %s", "one")
        logger.warning("another one")
    logger.warning("expected again")
    assert [record.getMessage() for record in caplog.records] == ["another one", "expected again"]
