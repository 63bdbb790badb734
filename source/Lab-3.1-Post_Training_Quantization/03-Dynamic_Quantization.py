# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] lang="en"
# # Dynamic quantization
#
# You quantize weights once and inputs anew in every call, one scale a token, and time it so that the number means
# something.
#
# | | |
# |---|---|
# | You will be able to | write a dynamic linear layer, convert a model without calibration data, and benchmark it |
# | Time | about 60 minutes |
# | Points | 20 of the lab's 100 |
# | You need | symmetric grids and SQNR (notebook 01); `nn.Module` and its buffers |
# | Papers | Dettmers et al. 2022, LLM.int8() (arXiv 2208.07339); Yao et al. 2022, ZeroQuant (arXiv 2206.01861); Krishnamoorthi 2018 (arXiv 1806.08342) |

# %% [markdown] lang="zh-TW"
# # 動態量化
#
# 你會把權重量化一次，輸入則在每次呼叫時重新量化、每個 token 一個縮放係數，並做出有意義的計時。
#
# | | |
# |---|---|
# | 完成後你能 | 寫出動態量化線性層、不用校準資料就轉換模型，並測量它的延遲 |
# | 時間 | 約 60 分鐘 |
# | 配分 | 本實驗 100 分中的 20 分 |
# | 先備知識 | 對稱格點與 SQNR（筆記本 01）；`nn.Module` 與 buffer |
# | 論文 | Dettmers et al. 2022, LLM.int8() (arXiv 2208.07339)；Yao et al. 2022, ZeroQuant (arXiv 2206.01861)；Krishnamoorthi 2018 (arXiv 1806.08342) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from labkit import checks, compat, data, evaluation, ops, plots, runtime, zoo
from labkit.probe import nonfinite_allowed, probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=313)
model = zoo.load("bert").eval()
linears = ops.linear_layers(model)

# %% [markdown]
# ## Why
#
# Static quantization needs calibration sentences, and a range that was fixed for them. Dynamic quantization looks at
# the input when it arrives: nothing to calibrate, nothing to clip. With eight bits for weights and inputs, the outputs
# of our classifier's layers have 42.7 dB with one scale for the whole input, 45.7 dB with one scale a token, and
# 43.6 dB with a static range (the 39.8 dB of notebook 02 are measured on inputs). The price is a pass over the input
# in every call to find its largest value.

# %% [markdown]
# ## By hand
#
# An input holds two tokens of two numbers: (0.12, −0.2) and (10, 5).
#
# - One scale for all: 10 / 127 = 0.0787. The first token's codes are 2 and −3, which mean 0.157 and −0.236: each is
#   off by 0.037, a third of the smaller number.
# - One scale a token: 0.2 / 127 = 0.00157 for the first. Its codes are 76 and −127, which mean 0.1197 and −0.2.
#
# A token's scale multiplies all its outputs, so it can be pulled out of the sum, as an output channel's scale can. A
# grid for each input channel could not.

# %% [markdown]
# ## Formula
#
# $$ y_{t,o} = s^x_t\, s^w_o \sum_k q^x_{t,k}\, q^w_{o,k} + b_o \qquad s^x_t = \frac{\max_k |x_{t,k}|}{127} $$
#
# - $x$: input, (tokens, in); $q^x$: its codes, −127 … 127; $s^x_t$: the scale of token $t$, the same for all
#   tokens if there is one for the whole tensor
# - $q^w$: codes of the weight, (out, in); $s^w_o$: the scale of output channel $o$; $b$: bias
#
# (Yao et al. 2022, section 4.2; symmetric grids as in notebook 01.)

# %% [markdown]
# ## You write: the layer
#
# The constructor quantizes the weight, once, and keeps integers. `forward` quantizes the input, in every call anew.
#
# <details><summary>Hint 1</summary>
# What is max|x| of a padded position that holds only zeros, and what is 0 / 0?
# </details>
# <details><summary>Hint 2</summary>
# `keepdim=True` leaves a scale of shape (..., 1), which broadcasts against the input and against the output.
# </details>

# %% nbgrader={"grade_id": "dynamic_quant_linear", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.dynamic import DynamicQuantLinear

# %% [markdown]
# ### Check: the formula


# %% nbgrader={"grade_id": "test_dynamic_quant_linear", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def dynamic_outputs(DynamicQuantLinear, weight, bias, inputs, granularity):
    import torch
    from torch import nn

    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight.data = weight.clone()
    if bias is not None:
        linear.bias.data = bias.clone()
    layer = DynamicQuantLinear(linear, granularity=granularity)
    with torch.no_grad():
        return [layer(x) for x in inputs]


weight = torch.tensor([[1.27, -0.5], [0.3, 0.2]])
x = torch.tensor([[0.12, -0.2], [10.0, 5.0]])
(y,) = dynamic_outputs(DynamicQuantLinear, weight, None, [x], "token")
checks.assert_close(
    y[0],
    [(76 * 127 + 127 * 50) * 1.27 / 127 * 0.2 / 127, (76 * 127 - 127 * 85) * 0.3 / 127 * 0.2 / 127],
    "first token by hand",
    rtol=1e-5,
    hint="codes 76 and -127 times codes 127, -50 and 127, 85",
)
(y,) = dynamic_outputs(DynamicQuantLinear, weight, None, [x], "tensor")
checks.assert_close(
    y[0, 0],
    (2 * 127 + 3 * 50) * 1.27 / 127 * 10 / 127,
    "first token with one scale for all",
    rtol=1e-5,
    hint="codes 2 and -3: the scale comes from the largest value of the whole input",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("dynamic_quant_linear")
weight = torch.randn(7, 12, generator=generator) * (0.1 + torch.rand(7, 1, generator=generator))
bias = torch.randn(7, generator=generator)
x = torch.randn(3, 5, 12, generator=generator) * 10 ** (2 * torch.rand(3, 5, 1, generator=generator) - 1)
weight_scale = weight.abs().amax(1) / 127
weight_codes = torch.round(weight / weight_scale[:, None]).double()
for granularity in ("token", "tensor"):
    for case, b in (("with bias", bias), ("without bias", None)):
        largest = x.abs().amax(-1, keepdim=True) if granularity == "token" else x.abs().amax()
        x_codes = torch.round(x / (largest / 127)).double()
        y = largest.double() / 127 * weight_scale.double() * (x_codes @ weight_codes.T)
        y = y + (0 if b is None else b.double())
        (got,) = dynamic_outputs(DynamicQuantLinear, weight, b, [x], granularity)
        checks.assert_close(
            got,
            y,
            f"three-dimensional input, one scale a {granularity}, {case}",
            atol=1e-5 * float(y.abs().max()),
            hint="quantize the input over its last dimension (token) or over all of it (tensor), then scale the sum",
        )
padded = torch.cat([x[0], torch.zeros(2, 12)])
with nonfinite_allowed():
    (got,) = dynamic_outputs(DynamicQuantLinear, weight, bias, [padded], "token")
    (nothing,) = dynamic_outputs(DynamicQuantLinear, weight, bias, [torch.zeros(2, 12)], "tensor")
checks.assert_close(
    got[-2:], torch.stack([bias, bias]), "padded tokens", atol=1e-6, hint="a maximum of 0 gives scale 1"
)
checks.assert_close(
    nothing, torch.stack([bias, bias]), "an input of zeros", atol=1e-6, hint="avoid dividing by 0"
)
checks.assert_raises(
    "ValueError",
    dynamic_outputs,
    DynamicQuantLinear,
    weight,
    bias,
    [x],
    "channel",
    label="unknown granularity",
    hint="accept 'tensor' and 'token' only",
)
### END HIDDEN TESTS

# %% [markdown]
# ### Check: what is kept
#
# Two things must not happen: a range that is remembered from the first call, and a weight that is quantized again in
# each one. Neither changes a single output on a first call.


# %% nbgrader={"grade_id": "test_dynamic_state", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
@probe
def what_is_kept(DynamicQuantLinear, weight, bias, calls, granularity):
    import torch
    from torch import nn

    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data, linear.bias.data = weight.clone(), bias.clone()
    layer = DynamicQuantLinear(linear, granularity=granularity)
    with torch.no_grad():
        outputs = [layer(x) for x in calls]
        linear.weight.data.mul_(3.0)
        linear.bias.data.add_(1.0)
        outputs.append(layer(calls[-1]))
    stored = {name: tensor for name, tensor in layer.state_dict().items()}
    hidden = {name: tensor for name, tensor in vars(layer).items() if isinstance(tensor, torch.Tensor)}
    return {
        "outputs": outputs,
        "stored": stored,
        "hidden": hidden,
        "parameters": [p for p in layer.parameters()],
    }


torch.manual_seed(0)
weight, bias = torch.randn(4, 6), torch.randn(4)
kept = what_is_kept(DynamicQuantLinear, weight, bias, [torch.randn(2, 6)], "token")
checks.assert_equal(
    sorted(kept["stored"]),
    ["bias", "weight_codes", "weight_scale"],
    "names of the buffers",
    hint='self.register_buffer("weight_codes", ...) and so on',
)
checks.assert_equal(
    str(kept["stored"]["weight_codes"].dtype), "torch.int8", "dtype of the codes", hint="int8"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("dynamic_state")
weight, bias = torch.randn(5, 16, generator=generator), torch.randn(5, generator=generator)
weight[2] = 0.0
small, large = 0.01 * torch.randn(3, 16, generator=generator), 50 * torch.randn(3, 16, generator=generator)
for granularity in ("token", "tensor"):
    kept = what_is_kept(DynamicQuantLinear, weight, bias, [small, large], granularity)
    alone = what_is_kept(DynamicQuantLinear, weight, bias, [large], granularity)
    checks.assert_close(
        kept["outputs"][1],
        alone["outputs"][0],
        f"a large input after a small one, one scale a {granularity}",
        hint="the range of the first call must not be kept",
    )
    back = what_is_kept(DynamicQuantLinear, weight, bias, [large, small], granularity)
    checks.assert_close(
        back["outputs"][1],
        kept["outputs"][0],
        f"a small input after a large one, one scale a {granularity}",
        hint="a running maximum remembers too",
    )
    checks.assert_close(
        kept["outputs"][2],
        kept["outputs"][1],
        f"after the original changed, one scale a {granularity}",
        hint="quantize the weight in the constructor, keep integers, and copy the bias",
    )
stored = kept["stored"]
expected_scale = weight.abs().amax(1) / 127
expected_scale[2] = 1.0
checks.assert_close(
    stored["weight_scale"], expected_scale, "weight scales", rtol=1e-5, hint="one a row; 1 for zeros"
)
checks.assert_equal(
    stored["weight_codes"],
    torch.round(weight / expected_scale[:, None]),
    "weight codes",
    hint="round, do not truncate",
)
checks.assert_equal(
    [len(kept["hidden"]), len(kept["parameters"])],
    [0, 0],
    "other tensors kept in the layer",
    hint="a float32 copy of the weight makes the model larger, not smaller",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# The next cell measures each of the 26 layers on validation sentences: its output with quantized weight and input
# against its own float32 output. Which layers will lose most when all tokens share one scale? Think of what a GELU
# does to a few tokens.

# %%
validation = data.tensors(data.languages()["validation"], limit=400)
inputs = ops.layer_inputs(model, list(linears), [{key: value[:64] for key, value in validation.items()}])


def sqnr(signal: Tensor, approximation: Tensor) -> float:
    noise = signal.double() - approximation.double()
    return 10 * math.log10(float(signal.double().square().sum() / noise.square().sum()))


def static_output(layer: nn.Linear, x: Tensor) -> Tensor:
    """The layer with an 8-bit weight and an input grid over the full range of the first half of the rows."""
    half = x[: len(x) // 2]
    snapped = ops.snap_between(x, half.min().item(), half.max().item())
    return nn.functional.linear(snapped, ops.snap(layer.weight.detach(), axis=0), layer.bias)


by_method: dict[str, list[float]] = {"static range": [], "one scale a call": [], "one scale a token": []}
with torch.no_grad():
    for name, layer in linears.items():
        x = inputs[name]
        by_method["static range"].append(sqnr(layer(x), static_output(layer, x)))
        for granularity, label in (("tensor", "one scale a call"), ("token", "one scale a token")):
            by_method[label].append(sqnr(layer(x), DynamicQuantLinear(layer, granularity=granularity)(x)))
figure = plots.lines(
    range(len(linears)),
    by_method,
    x_label="linear layer, in order of depth",
    y_label="SQNR of the output (dB)",
    alt="SQNR of the output of 26 linear layers. One scale a token is highest in nearly all layers; one scale a call "
    "lies 3 to 8 dB below it at the layer behind each GELU.",
)
figure.axes[0].set_xticks([0, 5, 11, 17, 23])
plots.show(figure)
for label, values in by_method.items():
    print(f"{label:18s} mean {sum(values) / len(values):5.1f} dB   worst {min(values):5.1f} dB")

# %% [markdown]
# The dips are the layers behind a GELU, numbers 5, 11, 17 and 23. A GELU passes large positive values and flattens
# negative ones to between −0.17 and 0, so a few tokens have large maxima, and a symmetric grid spends half of its
# codes on values that hardly occur. A scale for each token repairs the first of these, not the
# second.
#
# ### Check: how much is left


# %% nbgrader={"grade_id": "test_dynamic_quality", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
@probe
def dynamic_layer(DynamicQuantLinear, weight, bias, x, granularity):
    import torch
    from torch import nn

    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data, linear.bias.data = weight.clone(), bias.clone()
    layer = DynamicQuantLinear(linear, granularity=granularity)
    with torch.no_grad():
        return layer(x), layer.weight_codes, layer.weight_scale


sentences = data.tensors(data.languages()["validation"])
first = "bert.encoder.layer.0.output.dense"
x = ops.layer_inputs(model, [first], [{key: value[:32] for key, value in sentences.items()}])[first]
layer = linears[first]
exact = nn.functional.linear(x, layer.weight, layer.bias).detach().double()
y, _, _ = dynamic_layer(DynamicQuantLinear, layer.weight.detach(), layer.bias.detach(), x, "token")
ratio = 10 * math.log10(float(exact.square().sum() / (exact - y.double()).square().sum().clamp(min=1e-30)))
checks.assert_at_least(
    ratio, 36.0, "ratio of one layer", unit="dB", hint="eight bits and one scale a token give 43 dB"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("dynamic_quality")
rows = torch.randperm(len(sentences["labels"]), generator=generator)[:48]
seen = ops.layer_inputs(model, list(linears), [{key: value[rows] for key, value in sentences.items()}])
over_tensor, over_torch = [], []
for name, layer in linears.items():
    x = seen[name]
    exact = nn.functional.linear(x, layer.weight, layer.bias).detach().double()
    _, codes, scale = dynamic_layer(
        DynamicQuantLinear, layer.weight.detach(), layer.bias.detach(), x, "token"
    )
    if codes.dtype != torch.int8:
        checks.assert_true(False, "int8 codes", hint="the weight is stored as int8")
    # The output is worked out here from the integers, so a layer that computes in float32 gains nothing.
    restored = nn.functional.linear(ops.snap(x, axis=0), scale[:, None] * codes, layer.bias.detach())
    with torch.no_grad():
        rivals = [
            nn.functional.linear(ops.snap(x), ops.snap(layer.weight.detach(), axis=0), layer.bias),
            compat.quantize_dynamic(nn.Sequential(copy.deepcopy(layer)))(x),
        ]
    ours, tensor, torchs = (
        10 * math.log10(float(exact.square().sum() / (exact - y.double()).square().sum().clamp(min=1e-30)))
        for y in (restored, *rivals)
    )
    over_tensor.append(ours - tensor)
    over_torch.append(ours - torchs)
checks.assert_at_least(
    sum(over_tensor) / len(over_tensor),
    1.5,
    "gain over one scale for all",
    unit="dB",
    hint="are the weight's codes right?",
)
checks.assert_at_least(
    sum(over_torch) / len(over_torch),
    -1.0,
    "distance to PyTorch's own layer",
    unit="dB",
    hint="PyTorch's inputs have 7 bits and its weight has one scale, so this is easy to reach",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the whole model
#
# No calibration: walk through the model and replace. `ops.set_module(model, name, layer)` replaces a layer by its
# dotted name. The copy keeps its mode, and the original keeps its layers.

# %% nbgrader={"grade_id": "quantize_dynamic", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.dynamic import quantize_dynamic

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_quantize_dynamic", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
@probe
def dynamic_conversion(quantize_dynamic, DynamicQuantLinear, state, x, granularity):
    import torch
    from torch import nn

    inner = nn.ModuleDict(
        {"up": nn.Linear(6, 9), "norm": nn.LayerNorm(9), "down": nn.Linear(9, 6, bias=False)}
    )
    net = nn.ModuleList([nn.Embedding(11, 6), inner, nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3))])
    net.load_state_dict(state)
    net.train()
    converted = quantize_dynamic(net, granularity=granularity)
    replaced = [name for name, layer in converted.named_modules() if isinstance(layer, DynamicQuantLinear)]
    left = [name for name, layer in converted.named_modules() if isinstance(layer, nn.Linear)]
    modes = {name: module.training for name, module in converted.named_modules()}
    with torch.no_grad():
        y = converted.eval()[1]["down"](converted[1]["norm"](converted[1]["up"](converted[0](x))))
        outputs = [y, converted[2](y)]
    return {
        "replaced": replaced,
        "left": left,
        "modes": modes,
        "outputs": outputs,
        "stored": {
            key: value
            for key, value in converted.state_dict().items()
            if isinstance(value, torch.Tensor) and not value.is_quantized
        },
        "original": dict(net.state_dict()),
        "original_mode": net.training,
    }


torch.manual_seed(0)
inner = nn.ModuleDict({"up": nn.Linear(6, 9), "norm": nn.LayerNorm(9), "down": nn.Linear(9, 6, bias=False)})
net = nn.ModuleList([nn.Embedding(11, 6), inner, nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3))])
seen = dynamic_conversion(quantize_dynamic, DynamicQuantLinear, net.state_dict(), torch.arange(8), "token")
checks.assert_equal(
    sorted(seen["replaced"]),
    ["1.down", "1.up", "2.1"],
    "replaced layers",
    hint="replace linear layers at every depth",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("quantize_dynamic")
state = {key: torch.randn(value.shape, generator=generator) for key, value in net.state_dict().items()}
tokens = torch.randint(0, 11, (3, 7), generator=generator)
for granularity in ("token", "tensor"):
    seen = dynamic_conversion(quantize_dynamic, DynamicQuantLinear, state, tokens, granularity)
    checks.assert_equal(seen["left"], [], f"linear layers left, {granularity}", hint="replace every one")
    y = state["0.weight"][tokens]
    for name, normed in (("1.up", True), ("1.down", False), ("2.1", False)):
        weight = ops.snap(state[f"{name}.weight"], axis=0)
        y = ops.snap(y) if granularity == "tensor" else ops.snap(y.flatten(0, 1), axis=0).reshape(y.shape)
        y = nn.functional.linear(y, weight, state.get(f"{name}.bias"))
        if normed:
            y = nn.functional.layer_norm(y, (9,), state["1.norm.weight"], state["1.norm.bias"])
        if name == "1.down":
            checks.assert_close(
                seen["outputs"][0],
                y,
                f"output of two nested layers, one scale a {granularity}",
                atol=2e-3 * float(y.abs().max()),
                hint="pass granularity on; LayerNorm stays as it is",
            )
    checks.assert_close(
        seen["outputs"][1],
        y,
        f"output of the last layer, one scale a {granularity}",
        atol=2e-2 * float(y.abs().max()),
        hint="a layer inside nn.Sequential is replaced too",
    )
    for key in ("0.weight", "1.norm.weight", "1.norm.bias"):
        checks.assert_equal(
            seen["stored"][key], state[key], f"{key} of the copy, {granularity}", hint="leave it alone"
        )
checks.assert_true(
    all(seen["modes"].values()), "mode of the copy", hint="a new module is in train mode only by luck"
)
for key, value in state.items():
    checks.assert_equal(seen["original"].get(key), value, f"original {key}", hint="convert a deep copy")
codes = [value for key, value in seen["stored"].items() if key.endswith("weight_codes")]
scales = [value for key, value in seen["stored"].items() if key.endswith("weight_scale")]
checks.assert_equal(
    sum(value.numel() * value.element_size() for value in codes),
    6 * 9 + 9 * 6 + 6 * 3,
    "bytes of the codes",
    hint="one byte a weight",
)
checks.assert_equal(
    sum(value.numel() * value.element_size() for value in scales),
    4 * (9 + 6 + 3),
    "bytes of the scales",
    hint="one float32 scale an output channel",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: a benchmark
#
# The first call of a function is not like the others: memory is allocated, caches fill. A single call is not like
# the next one either, because the machine does other things too. So call it a few times unmeasured, then measure
# several calls one by one, and report the median: one call of ten seconds moves a mean of twenty calls by half a
# second and leaves their median alone.
#
# The clock is an argument, so that a test can replace it by one that it controls.

# %% nbgrader={"grade_id": "benchmark", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.dynamic import benchmark

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_benchmark", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
@probe
def scripted_run(benchmark, durations, warmup, repeats):
    now, events, left = [100.0], [], list(durations)

    def work():
        events.append("call")
        now[0] += left.pop(0) if left else 1000.0

    def clock():
        events.append("clock")
        return now[0]

    result = benchmark(work, clock, warmup=warmup, repeats=repeats)
    return {"result": result, "events": events}


run = scripted_run(benchmark, [9.0, 0.002, 0.004, 0.003], 1, 3)
checks.assert_close(
    run["result"]["median"], 3.0, "median in milliseconds", atol=1e-6, hint="the warm-up call took 9 s"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("benchmark")
for warmup, repeats in ((0, 1), (2, 7), (5, 8)):
    times = torch.rand(repeats, generator=generator, dtype=torch.float64).add(0.01).tolist()
    times[0] += 3.0
    run = scripted_run(benchmark, [5.0] * warmup + times, warmup, repeats)
    ordered = sorted(times)
    median = (ordered[(repeats - 1) // 2] + ordered[repeats // 2]) / 2
    case = f"{warmup} warm-up calls and {repeats} measured"
    checks.assert_close(
        run["result"]["median"],
        1000 * median,
        f"median of {case}",
        rtol=1e-6,
        hint="the mean of the middle two when their number is even; milliseconds",
    )
    checks.assert_close(
        [run["result"]["fastest"], run["result"]["slowest"]],
        [1000 * ordered[0], 1000 * ordered[-1]],
        f"fastest and slowest of {case}",
        rtol=1e-6,
        hint="warm-up calls are not measured",
    )
    checks.assert_equal(
        run["events"],
        ["call"] * warmup + ["clock", "call", "clock"] * repeats,
        f"order of events of {case}",
        hint="read the clock directly before and after each measured call, and at no other time",
    )
checks.assert_raises(
    "ValueError",
    scripted_run,
    benchmark,
    [1.0],
    1,
    0,
    label="no measured call",
    hint="there is no median of nothing",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Measure
#
# Your layers against float32 and against PyTorch's own dynamic quantization, whose kernel multiplies int8 directly.
# Before you run it: which of the three is fastest with one sentence, which with 32?

# %%
converted = {
    "float32": model,
    "one scale a call": quantize_dynamic(model, granularity="tensor"),
    "one scale a token": quantize_dynamic(model, granularity="token"),
    "PyTorch int8 kernel": compat.quantize_dynamic(model),
}
for sentences_per_call in (1, 32):
    rows = {key: value[:sentences_per_call] for key, value in validation.items() if key != "labels"}
    for label, candidate in converted.items():
        with torch.no_grad():
            timing = benchmark(
                lambda candidate=candidate, rows=rows: candidate(**rows), time.perf_counter, repeats=15
            )
        print(
            f"sentences {sentences_per_call:2d}  {label:20s} median {timing['median']:6.2f} ms"
            f"   {timing['fastest']:6.2f} to {timing['slowest']:6.2f}"
        )

# %%
table = evaluation.report(converted, validation, repeats=5)
print(evaluation.show(table.drop(columns=["parameters", "MACs a row", "sparsity"])))

# %% [markdown]
# Your layers are slower than float32: they find a maximum, round, and then multiply the codes as floats. The bytes are
# what they save. PyTorch's kernel multiplies integers. On the machine this text was written on it took 1.8 ms for one
# sentence against 1.6 ms in float32, and 9.8 ms for 32 sentences against 15.5: whether it pays depends on the
# processor and on how much work a call holds. That is why latency is shown here and never graded.
#
# Accuracy is the same for all to within one or two sentences of the 400; recovery is a row's accuracy over
# float32's.

# %% [markdown]
# ## What goes wrong
#
# - **A range kept from the first call.** The first sentence is right and later ones clip. The plot above calls each layer
#   once, so it looks the same; only a second call with larger values shows it, which is what the check does.
# - **Quantizing the weight in every call.** Outputs are the same, so no accuracy shows it. The time does, and the
#   bytes: the float32 weight is still there.
# - **Timing without warm-up.** With one measured call, float32 appears several times slower than it is, and
#   whatever is measured second looks like an improvement.
#
# ## At full size
#
# The same conversion on the published checkpoint. Where its weights or a GPU are missing, the cell says so in one
# line.

# %%
try:
    full = zoo.load("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    small = evaluation.stored_bytes(quantize_dynamic(full))
    print(f"{evaluation.stored_bytes(full) / 1e6:.0f} MB become {small / 1e6:.0f} MB")

# %% [markdown]
# ## Further reading
#
# - Dettmers et al. 2022 (arXiv 2208.07339): what happens when single input channels, not tokens, hold the large
#   values, and why that begins at 6.7 billion parameters.
# - Yao et al. 2022 (arXiv 2206.01861), section 4: per-token scales with kernels that make them cheap.
# - Krishnamoorthi 2018 (arXiv 1806.08342), section 3.1: weight-only, dynamic and static side by side.
