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
# # Group-wise 4-bit weights and packing
#
# You store a language model's weights in four bits each, two to a byte, with a scale for every few inputs, and count
# every byte of the file.
#
# | | |
# |---|---|
# | You will be able to | choose a group size, pack and unpack 4-bit codes, and say what a weight costs once its scale is counted |
# | Time | about 75 minutes |
# | Points | 22 of the lab's 100, all autograded |
# | You need | scale and zero-point of an asymmetric grid (lab 3.1); bit shifts |
# | Papers | Dettmers and Zettlemoyer 2022, The case for 4-bit precision (arXiv 2212.09720); Frantar et al. 2022, GPTQ (arXiv 2210.17323); Dettmers et al. 2023, QLoRA (arXiv 2305.14314) |

# %% [markdown] lang="zh-TW"
# # 分組 4 位元權重與打包
#
# 你會把語言模型的每個權重存成四位元、兩個一個位元組，每幾個輸入共用一個縮放係數，並算清檔案裡的每一個位元組。
#
# | | |
# |---|---|
# | 完成後你能 | 選擇分組大小、打包與還原 4 位元編碼，並說出把縮放係數算進去之後一個權重的成本 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 22 分，全部自動評分 |
# | 先備知識 | 非對稱格點的縮放係數與零點（實驗 3.1）；位元移位 |
# | 論文 | Dettmers and Zettlemoyer 2022 (arXiv 2212.09720)；Frantar et al. 2022, GPTQ (arXiv 2210.17323)；Dettmers et al. 2023, QLoRA (arXiv 2305.14314) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
import math

import safetensors.torch
import torch
from labkit import checks, data, evaluation, ops, plots, runtime, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=331)
model = zoo.load("llama").eval()
linears = ops.linear_layers(model, skip=("lm_head",))

# %% [markdown]
# ## Why
#
# A language model writes one token at a time, and for each token every weight is read from memory once. The processor
# waits for memory, not the other way round, so half the bytes is close to twice the speed. Llama-2-13B holds 26 GB in
# float16. At four bits it fits an 8 GB card.
#
# Our Llama holds 853,120 weights, 786,432 of them in its 28 linear layers: 3.41 MB in float32. At four bits with one
# scale for 128 inputs the file shrinks to 0.54 MB. One scale a row was enough at eight bits. At three bits it is not:
# the perplexity of our model goes from 15.8 to 18.7 with groups of 128 and to 17.6 with groups of 32.

# %% [markdown]
# ## By hand
#
# A row holds 0.1, −0.2, 0.3, 0.2 and then 3.0, −1.5, 1.5, 0. Two bits give the codes 0 to 3.
#
# - One grid for all eight: from −1.5 to 3.0, a step is 4.5 / 3 = 1.5, and 0 has the code 1. The first four values are
#   all nearest to 0: their information is gone.
# - Two groups of four: the first goes from −0.2 to 0.3, a step is 0.5 / 3 = 0.167, zero-point round(0.2 / 0.167) = 1.
#   The codes of 0.1, −0.2, 0.3, 0.2 are 2, 0, 3, 2, which mean 0.167, −0.167, 0.333, 0.167.
#
# The second group keeps the step of 1.5 and the first is nine times finer. The price is one more scale and one more
# zero-point. With a float16 scale and a 4-bit zero-point that is 20 bits a group: at four bits a weight costs 4 + 20
# / g bits, 4.16 for g = 128 and 4.62 for g = 32.

# %% [markdown]
# ## Formula
#
# $$ s = \frac{\max(w, 0) - \min(w, 0)}{2^b - 1}, \qquad z = \mathrm{round}(-\min(w, 0) / s), \qquad
# q = \mathrm{clamp}(\mathrm{round}(w / s) + z,\ 0,\ 2^b - 1) $$
#
# - $w$: the weights of one group, $g$ neighbouring inputs of one output channel
# - $s$: the group's scale, rounded to float16 before it is used; $z$: its zero-point; $q$: the codes; $b$: bits
# - restored: $\hat{w} = s\,(q - z)$
#
# The scale is rounded first because the file holds float16. Codes that were computed with another scale would be
# restored with the wrong one.

# %% [markdown]
# ## You write: groups
#
# The inputs of a layer are the columns of its weight (out, in). Groups run along a row, so that a sum over one group
# of inputs needs one scale.
#
# <details><summary>Hint</summary>
# Which reshape of (out, in) puts each group into a dimension of its own?
# </details>
#
# <details><summary>Second hint</summary>
# (out, groups, g). Then everything in the formula is an operation on the last dimension.
# </details>

# %% nbgrader={"grade_id": "quantize_groupwise", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.groupwise import quantize_groupwise

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_quantize_groupwise", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
by_hand = torch.tensor([[0.1, -0.2, 0.3, 0.2, 3.0, -1.5, 1.5, 0.0]])
parts = quantize_groupwise(by_hand, bits=2, group_size=4)
checks.assert_equal(
    parts["q"],
    torch.tensor([[2, 0, 3, 2, 3, 0, 2, 1]]),
    "codes of the example by hand",
    hint="one grid for each four neighbours; add the zero-point after rounding",
)
checks.assert_equal(parts["zero"], torch.tensor([[1, 1]]), "zero-points by hand", hint="round(-low / scale)")
### BEGIN HIDDEN TESTS
from reference_impl.quantization.hidden_inputs_groups import grouped_weight

generator = checks.hidden_generator("groupwise")
for bits, groups, width in ((4, 3, 32), (3, 5, 8), (8, 1, 16), (2, 2, 128)):
    weight, expected = grouped_weight(6, groups, width, generator, bits=bits)
    parts = quantize_groupwise(weight, bits=bits, group_size=width)
    for key, hint in (
        ("scale", "the group's range over 2^bits - 1, rounded to float16, one for each group of a row"),
        ("zero", "round -low / scale with the float16 scale"),
        ("q", "round, add the zero-point, clamp; groups are neighbours within a row"),
    ):
        checks.assert_equal(
            parts[key].double(),
            expected[key].double(),
            f"{key}, {bits} bits, groups of {width}",
            hint=hint,
        )
weight, expected = grouped_weight(4, 1, 24, generator)
parts = quantize_groupwise(weight, group_size=-1)
checks.assert_equal(parts["q"], expected["q"], "codes, the row as one group", hint="-1 is the whole row")
checks.assert_equal(
    [str(parts[key].dtype) for key in ("q", "scale", "zero")],
    ["torch.uint8", "torch.float16", "torch.uint8"],
    "dtypes of codes, scales and zero-points",
    hint="codes and zero-points are uint8, scales float16",
)
step = 0.25 * torch.arange(1.0, 17).reshape(1, 16)  # 0.25 to 4: a grid that holds 0 has steps of 4 / 15
for sign, side in ((1.0, "positive"), (-1.0, "negative")):
    parts = quantize_groupwise(sign * step, bits=4, group_size=16)
    checks.assert_close(
        parts["scale"].double(),
        [[4 / 15]],
        f"scale of {side} values",
        rtol=1e-3,
        hint="extend the range to contain 0 before you compute the scale",
    )
between = quantize_groupwise(torch.tensor([[-0.57, 0.93, 0.0, 0.31]]), bits=4, group_size=4)
checks.assert_equal(
    [between["zero"].tolist(), between["q"].tolist()],
    [[[6]], [[0, 15, 6, 9]]],
    "zero-point between two codes",
    hint="5.7 rounds to 6; a cast to an integer cuts it to 5",
)
parts = quantize_groupwise(torch.zeros(2, 8), bits=4, group_size=4)
checks.assert_equal(parts["scale"].double(), torch.ones(2, 2), "scale of zeros", hint="avoid dividing by 0")
tiny = quantize_groupwise(torch.full((1, 4), 1e-8), bits=4, group_size=4)
checks.assert_equal(
    tiny["scale"].double(), torch.ones(1, 1), "scale that float16 can not hold", hint="test it after .half()"
)
for size in (5, 0, 12):
    checks.assert_raises(
        "ValueError",
        quantize_groupwise,
        torch.ones(2, 8),
        group_size=size,
        label=f"groups of {size} in rows of 8",
        hint="a group size must divide the row",
    )
rough = torch.randn(16, 256, generator=generator)
powers = []
for size in (128, 32):
    parts = quantize_groupwise(rough, bits=4, group_size=size)
    steps = parts["q"].double().reshape(16, -1, size) - parts["zero"].double()[..., None]
    restored = (parts["scale"].double()[..., None] * steps).reshape(16, 256)
    powers.append((restored - rough).square().mean().item())
checks.assert_at_most(
    powers[1] / powers[0], 0.95, "error of groups of 32 over groups of 128", hint="smaller groups fit better"
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: back to numbers

# %% nbgrader={"grade_id": "dequantize_groupwise", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.groupwise import dequantize_groupwise

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_dequantize_groupwise", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
codes = torch.tensor([[2, 0, 3, 2]], dtype=torch.uint8)
scale, zero = torch.tensor([[0.5, 2.0]]).half(), torch.tensor([[1, 2]], dtype=torch.uint8)
checks.assert_equal(
    dequantize_groupwise(codes, scale, zero),
    torch.tensor([[0.5, -0.5, 2.0, 0.0]]),
    "two groups by hand",
    hint="0 - 1 in uint8 is 255: change the dtype before you subtract",
)
### BEGIN HIDDEN TESTS
from reference_impl.quantization.groupwise import dequantize_groupwise as expected_values
from reference_impl.quantization.hidden_inputs_groups import grouped_weight as draw_weight

generator = checks.hidden_generator("dequantize_groupwise")
for bits, groups, width in ((4, 3, 32), (2, 5, 8), (8, 1, 6)):
    _, parts = draw_weight(7, groups, width, generator, bits=bits)
    restored = dequantize_groupwise(parts["q"], parts["scale"], parts["zero"])
    checks.assert_close(
        restored,
        expected_values(parts["q"], parts["scale"], parts["zero"]),
        f"values, {groups} groups of {width}",
        rtol=1e-6,
        hint="each group of neighbours within a row has its own scale and zero-point",
    )
    checks.assert_equal(
        str(restored.dtype), "torch.float32", "dtype of the values", hint="compute in float32"
    )
held = model.model.layers[0].mlp.down_proj.weight.detach()
parts = quantize_groupwise(held, bits=4, group_size=32)
error = (dequantize_groupwise(parts["q"], parts["scale"], parts["zero"]) - held).abs().reshape(128, 12, 32)
checks.assert_at_most(
    (error / parts["scale"].float()[..., None]).max().item(),
    0.51,
    "largest error of a model's weights, in steps",
    hint="half a step, and a little for the zero-point and the float16 scale",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# The next cell restores all 28 layers at two to eight bits and measures the signal-to-noise ratio of the weights. A
# bit more is worth 6 dB. How many bits a weight does going from groups of 128 to groups of 32 cost, and what is it
# worth?


# %%
def weights_sqnr(bits: int, size: int) -> float:
    """Mean SQNR in dB of the linear layers' weights in groups of `size`."""
    total = 0.0
    for layer in linears.values():
        weight = layer.weight.detach()
        parts = quantize_groupwise(weight, bits=bits, group_size=size)
        noise = dequantize_groupwise(parts["q"], parts["scale"], parts["zero"]) - weight
        total += 10 * torch.log10(weight.square().sum() / noise.square().sum()).item()
    return total / len(linears)


sizes = [16, 32, 64, 128]
ratios = {f"{bits} bits": [weights_sqnr(bits, size) for size in sizes] for bits in (2, 3, 4, 8)}
figure = plots.lines(
    sizes,
    ratios,
    x_label="inputs that share a scale",
    y_label="SQNR of the weights (dB)",
    alt="Signal-to-quantization-noise ratio against group size for 2, 3, 4 and 8 bits. Each curve falls slowly "
    "from groups of 16 to groups of 128; the curves lie about 6 dB a bit apart.",
)
plots.show(figure)
for bits in (3, 4):
    values = ratios[f"{bits} bits"]
    print(f"{bits} bits: groups of 128 {values[3]:.1f} dB, groups of 32 {values[1]:.1f} dB")

# %% [markdown]
# Groups of 32 cost 20 / 32 − 20 / 128 = 0.47 bits a weight more and are worth 1.9 dB at four bits. By the rule of 6
# dB a bit, 0.47 bits should be worth 2.8 dB. On this model, whose rows are free of outliers, small groups are a poor
# bargain at four bits. Two things change that: fewer bits, and outliers.

# %% [markdown]
# ## You write: two codes a byte
#
# PyTorch has no 4-bit type. Two codes share a byte: the first in the low half, the second in the high half. The codes
# 3 and 10 become 3 + 16 · 10 = 163.

# %% nbgrader={"grade_id": "pack_int4", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.packing import pack_int4

# %% nbgrader={"grade_id": "unpack_int4", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.packing import unpack_int4

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_packing", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
checks.assert_equal(
    pack_int4(torch.tensor([3, 10, 15])),
    torch.tensor([163, 15]),
    "three codes in two bytes",
    hint="first code in the low four bits; an odd number of codes leaves the last high half 0",
)
checks.assert_equal(
    unpack_int4(torch.tensor([163, 15], dtype=torch.uint8), (3,)),
    torch.tensor([3, 10, 15]),
    "three codes out of two bytes",
    hint="low half first; drop what the last byte has too many",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("packing")
for shape in ((8,), (3, 5), (2, 3, 4), (1, 1), (7, 1, 3), (16, 32)):
    codes = torch.randint(0, 16, shape, generator=generator)
    flat = [*codes.flatten().tolist(), 0]
    expected = [low + 16 * high for low, high in zip(flat[0:-1:2], flat[1::2], strict=True)]
    for dtype in (torch.uint8, torch.int64):
        packed = pack_int4(codes.to(dtype))
        checks.assert_equal(
            packed, torch.tensor(expected), f"bytes of {shape}, {dtype}", hint="row-major order"
        )
    checks.assert_equal(str(packed.dtype), "torch.uint8", "dtype of the bytes", hint="a byte is uint8")
    codes_again = unpack_int4(torch.tensor(expected, dtype=torch.uint8), shape)
    checks.assert_equal(codes_again, codes, f"codes of {shape} again", hint="low half first, then the shape")
    checks.assert_equal(str(codes_again.dtype), "torch.uint8", "dtype of the codes", hint="codes are uint8")
for wrong in (16, -1):
    checks.assert_raises(
        "ValueError",
        pack_int4,
        torch.tensor([1, wrong]),
        label=f"a code of {wrong}",
        hint="it would spill into its neighbour: refuse it",
    )
checks.assert_raises(
    "ValueError",
    unpack_int4,
    torch.zeros(3, dtype=torch.uint8),
    (4,),
    label="bytes that do not fit the shape",
    hint="4 codes need 2 bytes, not 3",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the layer
#
# `WeightOnlyLinear` stores what the file will hold and restores the weight in each call. On a GPU a kernel does this
# inside the matrix product; the arithmetic is the same.

# %% nbgrader={"grade_id": "weight_only_linear", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.packing import WeightOnlyLinear

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_weight_only_linear", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
@probe
def packed_layer(WeightOnlyLinear, weight, bias, group_size, x):
    from torch import nn

    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    layer.load_state_dict(state)
    packed = WeightOnlyLinear(layer, group_size=group_size)
    return {
        "file": {key: value.clone() for key, value in packed.state_dict().items()},
        "outputs": packed(x).detach(),
        "parameters": [name for name, _ in packed.named_parameters()],
        "original": layer.weight.detach().clone(),
    }


torch.manual_seed(1)
weight, x = torch.randn(8, 32), torch.randn(3, 32)
evidence = packed_layer(WeightOnlyLinear, weight, None, 16, x)
checks.assert_equal(
    sorted(evidence["file"]),
    ["packed", "scale", "zeros"],
    "what the file holds",
    hint="register buffers packed, zeros, scale, and bias; nothing else, no parameter",
)
checks.assert_at_most(
    (evidence["outputs"] - x @ weight.T).square().mean().item() / (x @ weight.T).square().mean().item(),
    0.05,
    "relative squared error of the outputs",
    hint="restore codes, zero-points and scales of each group",
)
### BEGIN HIDDEN TESTS
from reference_impl.quantization.hidden_inputs_groups import grouped_weight as drawn_weight

generator = checks.hidden_generator("weight_only")
for rows, groups, width, with_bias in ((6, 4, 32, True), (5, 3, 15, False), (3, 1, 7, True)):
    weight, parts = drawn_weight(rows, groups, width, generator)
    bias = torch.randn(rows, generator=generator) if with_bias else None
    x = torch.randn(2, 3, groups * width, generator=generator)
    evidence = packed_layer(WeightOnlyLinear, weight, bias, width, x)
    file = evidence["file"]
    numbers = {}
    for key, codes in (("packed", parts["q"]), ("zeros", parts["zero"])):
        flat = [*codes.flatten().tolist(), 0]
        numbers[key] = torch.tensor([a + 16 * b for a, b in zip(flat[0:-1:2], flat[1::2], strict=True)])
        checks.assert_equal(
            file[key],
            numbers[key],
            f"{key}, {rows} rows, {groups} groups of {width}",
            hint="codes and zero-points go through pack_int4 in row-major order",
        )
    stored = sum(value.numel() * value.element_size() for value in file.values())
    checks.assert_equal(
        stored,
        sum(map(len, numbers.values())) + 2 * rows * groups + (2 * rows if with_bias else 0),
        f"bytes, {rows} rows, {groups} groups of {width}",
        hint="half a byte a code and a zero-point, two a scale and a bias; no copy of the weight",
    )
    steps = parts["q"].reshape(rows, groups, width).float() - parts["zero"].float()[..., None]
    restored = (parts["scale"].float()[..., None] * steps).reshape(rows, -1)
    expected = x @ restored.T + (bias.half().float() if with_bias else 0.0)
    checks.assert_close(
        evidence["outputs"],
        expected,
        f"outputs, {rows} rows, {groups} groups of {width}",
        atol=1e-3,
        hint="compute with the restored weight; the bias is stored in float16",
    )
    checks.assert_equal(evidence["original"], weight, "the layer it was made from", hint="leave it as it was")
checks.assert_equal(evidence["parameters"], [], "parameters", hint="buffers are stored and not trained")
### END HIDDEN TESTS

# %% [markdown]
# ## You write: NF4
#
# An even grid spends as many levels on the rare large weights as on the many small ones. NF4 puts its sixteen levels
# where a normal distribution has equal shares, keeps an exact 0, and needs no zero-point.

# %% nbgrader={"grade_id": "nf4_codebook", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.normal_float import nf4_codebook

# %% nbgrader={"grade_id": "quantize_nf4", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.normal_float import quantize_nf4

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_nf4", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
codebook = nf4_codebook()
checks.assert_close(
    [codebook[0], codebook[7], codebook[15]],
    [-1.0, 0.0, 1.0],
    "first, eighth and last level",
    atol=1e-6,
    hint="seven negative levels, 0, eight positive ones, divided by the largest",
)
q, scale = quantize_nf4(torch.tensor([[0.5, -2.0, 0.0, 1.0]]), codebook, group_size=4)
checks.assert_equal(scale, torch.tensor([[2.0]]), "scale of four values", hint="the largest absolute value")
### BEGIN HIDDEN TESTS
published = [
    -1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0,
    0.0795803, 0.1609302, 0.24611230, 0.33791524, 0.44070983, 0.56261700, 0.72295684, 1.0,
]  # fmt: skip
checks.assert_close(
    codebook, published, "the sixteen levels", atol=1e-4, hint="the published values of QLoRA, appendix E"
)
generator = checks.hidden_generator("nf4")
levels = torch.tensor(published)
gaps = levels.diff()
q = torch.randint(0, 16, (5, 4, 16), generator=generator)
q[:, :, 0] = 15  # the largest value of a group has the level 1
room = 0.35 * torch.minimum(torch.cat([gaps[:1], gaps])[q], torch.cat([gaps, gaps[-1:]])[q])
offset = (2 * torch.rand(q.shape, generator=generator) - 1) * room
offset = torch.where((q == 15) | (q == 0), torch.zeros_like(offset), offset)
scales = 0.1 + torch.rand(5, 4, generator=generator)
weight = ((levels[q] + offset) * scales[..., None]).reshape(5, 64)
codes, scale = quantize_nf4(weight, levels, group_size=16)
checks.assert_equal(
    codes, q.reshape(5, 64), "indices of the nearest levels", hint="divide by the scale first"
)
checks.assert_close(
    scale, scales, "scales of the groups", rtol=1e-5, hint="max |w| of each group of neighbours"
)
checks.assert_equal(str(codes.dtype), "torch.uint8", "dtype of the indices", hint="uint8")
codes, scale = quantize_nf4(torch.zeros(1, 8), levels, group_size=8)
checks.assert_equal(
    [codes.tolist(), scale.tolist()], [[[7] * 8], [[1.0]]], "a group of zeros", hint="avoid dividing by 0"
)
### END HIDDEN TESTS

# %% [markdown]
# ### The two code books side by side

# %%
levels = nf4_codebook()
weight = linears["model.layers.1.mlp.gate_proj"].weight.detach()
normal = torch.randn(128, 384, generator=torch.Generator().manual_seed(2))
for label, values in (("a model's weights", weight), ("normal numbers", normal)):
    for size in (128, 32):
        parts = quantize_groupwise(values, bits=4, group_size=size)
        even = dequantize_groupwise(parts["q"], parts["scale"], parts["zero"])
        q, scale = quantize_nf4(values, levels, group_size=size)
        nf4 = (levels[q.long()].reshape(len(q), -1, size) * scale[..., None]).reshape(values.shape)
        noise = [
            10 * torch.log10(values.square().sum() / (values - x).square().sum()).item() for x in (even, nf4)
        ]
        print(f"{label:18s} groups of {size:3d}: even grid {noise[0]:.2f} dB, NF4 {noise[1]:.2f} dB")

# %% [markdown]
# In groups of 128 NF4 is 0.4 dB ahead: the largest of 128 numbers lies far out, and an even grid spends levels on the
# empty space before it. In groups of 32 the even grid is 0.7 dB ahead: it fits both ends of its group, NF4 only the
# larger one. Our model's weights behave as normal numbers do, which is what NF4 was made for.

# %% [markdown]
# ## Measure
#
# Now the whole model. Linear layers become `WeightOnlyLinear`; embedding and norms are stored in float16. The output
# layer is the embedding once more and is stored once. Recovery is float32's perplexity over a row's.


# %%
def file_bytes(network: nn.Module) -> int:
    """Bytes of the safetensors file with floats in float16 and the tied output layer left out."""
    state = {key: value for key, value in network.state_dict().items() if key != "lm_head.weight"}
    kept = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    return len(safetensors.torch.save(kept))


def packed_model(size: int) -> nn.Module:
    """A copy of the model with 4-bit linear layers in groups of `size`."""
    packed = copy.deepcopy(model)
    for name, layer in linears.items():
        ops.set_module(packed, name, WeightOnlyLinear(layer, group_size=size))
    return packed


validation = {"input_ids": data.tensors(data.prose()["validation"])["input_ids"][:64]}
rows: dict[str, evaluation.Entry] = {"float32": evaluation.Entry(model)}
rows["float16"] = evaluation.Entry(copy.deepcopy(model), stored_bytes=file_bytes(model))
for size in (128, 64, 32):
    network = packed_model(size)
    rows[f"4 bits, groups of {size}"] = evaluation.Entry(network, stored_bytes=file_bytes(network))
table = evaluation.report(rows, validation, repeats=3)
print(evaluation.show(table.drop(columns=["parameters", "MACs a row", "sparsity", "bits a weight"])))

# %% [markdown]
# The file is 6.2 times smaller than float32 with groups of 128 and 5.7 times with groups of 32, because the embedding
# stays in float16: it is 8% of the weights and a quarter of the file. Against float16, which is what models are
# shipped in, it is 3.1 and 2.9. A claim of "eight times smaller at four bits" counts neither scales nor embedding,
# and compares with float32. The last step restores the weights in each call, so the latency is higher here; it needs
# a kernel that unpacks inside the product.

# %% [markdown]
# ### Three bits

# %% nbgrader={"grade_id": "rounded_model", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]


def with_weights(network: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """A copy of `network` in which the layers named have other weights."""
    changed = copy.deepcopy(network)
    for name, weight in weights.items():
        changed.get_submodule(name).weight.data = weight
    return changed


def restore(parts: dict[str, Tensor]) -> Tensor:
    """The weight that the parts of `quantize_groupwise` stand for."""
    rows, columns = parts["q"].shape
    steps = parts["q"].reshape(rows, parts["scale"].shape[1], -1).float() - parts["zero"].float()[..., None]
    return (parts["scale"].float()[..., None] * steps).reshape(rows, columns)


# %%
for size in (128, 32):
    parts = {
        n: quantize_groupwise(layer.weight.detach(), bits=3, group_size=size) for n, layer in linears.items()
    }
    rounded = with_weights(model, {name: restore(part) for name, part in parts.items()})
    print(f"three bits, groups of {size}: perplexity {evaluation.quality(rounded, validation)[1]:.2f}")
print(f"float32: {evaluation.quality(model, validation)[1]:.2f}")

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_three_bits", "solution": false, "grade": true, "locked": true, "points": 2, "schema_version": 3, "task": false}
text = {"input_ids": data.tensors(data.prose()["validation"])["input_ids"][:48]}
at_three_bits = {}
for size in (128, 32):
    parts = {
        n: quantize_groupwise(layer.weight.detach(), bits=3, group_size=size) for n, layer in linears.items()
    }
    rounded = with_weights(model, {name: restore(part) for name, part in parts.items()})
    at_three_bits[size] = evaluation.quality(rounded, text)[1]
checks.assert_at_most(
    at_three_bits[32] / at_three_bits[128],
    0.98,
    "perplexity with groups of 32 over groups of 128, three bits",
    hint="does group_size reach the grid?",
)
### BEGIN HIDDEN TESTS
from heldout import prose as test_split

blocks = data.tensors(test_split())["input_ids"]
chosen = torch.randperm(len(blocks), generator=checks.hidden_generator("three_bits"))[:64]
fresh = {"input_ids": blocks[chosen]}
at_size = {}
for size in (128, 32):
    parts = {
        n: quantize_groupwise(layer.weight.detach(), bits=3, group_size=size) for n, layer in linears.items()
    }
    rounded = with_weights(model, {name: restore(part) for name, part in parts.items()})
    at_size[size] = evaluation.quality(rounded, fresh)[1]
checks.assert_at_most(
    at_size[32] / at_size[128],
    0.98,
    "perplexity with groups of 32 over groups of 128 at three bits, fresh text",
    hint="does group_size reach the grid?",
)
### END HIDDEN TESTS

# %% [markdown]
# ## What goes wrong
#
# - **Groups along the wrong dimension.** Grouping the outputs gives a grid to numbers that are never summed together.
#   Every shape fits, and the kernel that reads the file restores another matrix.
# - **Scales free of charge.** With groups of 16 a weight costs 5.25 bits. "Four bits" is then wrong by a third.
# - **The scale rounded after the codes.** At float16's 11 bits the difference is small for most groups, and at the
#   ends of the grid it is 15 times the rounding error of the scale.
# - **uint8 arithmetic.** 0 − 1 is 255. The restored weight has a few huge values and the perplexity is in the
#   thousands.

# %% [markdown]
# ## At full size
#
# The same layer of the published Llama-2-13B, one layer at a time so that nothing is held twice. Where its weights or
# a GPU are missing, the cell says so in one line. `small` in place of `full` runs it on SmolLM2, 135 million weights,
# if its package is installed; its weights already lie on a 4-bit grid in groups of 32, so use groups of 64 or more
# there.

# %%
try:
    full = zoo.load("llama", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    layers = ops.linear_layers(full, skip=("lm_head",))
    name, layer = next(iter(layers.items()))
    for size in (64, 32):
        packed_parts = quantize_groupwise(layer.weight.detach().float().cpu(), group_size=size)
        noise = restore(packed_parts) - layer.weight.detach().float().cpu()
        print(
            name,
            f"groups of {size}: relative squared error",
            (noise.square().mean() / layer.weight.var()).item(),
        )

# %% [markdown]
# ## Further reading
#
# - Dettmers and Zettlemoyer 2022 (arXiv 2212.09720): 35,000 experiments on how many bits a weight is best for a given
#   number of bytes, and why small groups matter at three and four.
# - Dettmers et al. 2023 (arXiv 2305.14314): NF4, and scales that are themselves quantized.
# - Frantar et al. 2022 (arXiv 2210.17323): the next notebook.
