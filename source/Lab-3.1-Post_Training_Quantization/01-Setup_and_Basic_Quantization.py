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
# # Setup and basic quantization
#
# You turn the weights of a language classifier into 8-bit integers and back, and measure what that costs.
#
# | | |
# |---|---|
# | You will be able to | choose a scale and a zero-point, quantize a tensor with them, and say how much was lost and saved |
# | Time | about 60 minutes |
# | Points | 22 of the lab's 100 |
# | You need | PyTorch tensors and broadcasting; what a linear layer computes |
# | Papers | Jacob et al. 2018, Quantization and Training of Neural Networks (arXiv 1712.05877); Krishnamoorthi 2018, Quantizing Deep Convolutional Networks (arXiv 1806.08342); Nagel et al. 2021, A White Paper on Neural Network Quantization (arXiv 2106.08295) |

# %% [markdown] lang="zh-TW"
# # 環境設定與基礎量化
#
# 你會把一個語言分類器的權重轉成 8 位元整數、再還原回來，並量出代價是多少。
#
# | | |
# |---|---|
# | 完成後你能 | 選出縮放係數（scale）與零點（zero-point）、用它們量化一個張量，並說明損失了多少、節省了多少 |
# | 時間 | 約 60 分鐘 |
# | 配分 | 本實驗 100 分中的 22 分 |
# | 先備知識 | PyTorch 張量與廣播；線性層的運算 |
# | 論文 | Jacob et al. 2018, Quantization and Training of Neural Networks (arXiv 1712.05877)；Krishnamoorthi 2018, Quantizing Deep Convolutional Networks (arXiv 1806.08342)；Nagel et al. 2021, A White Paper on Neural Network Quantization (arXiv 2106.08295) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
import math
from typing import Any

import torch
from labkit import checks, data, evaluation, plots, runtime, zoo
from labkit.probe import nonfinite_allowed, probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=311)
model = zoo.load("bert").eval()
weights = {
    name: layer.weight.detach() for name, layer in model.named_modules() if isinstance(layer, nn.Linear)
}

# %% [markdown]
# ## Why
#
# The classifier reads one sentence of a user interface and says which of ten languages it is in. It holds
# 560,170 numbers, four bytes each. 452,544 of them are the weights of 26 linear layers, and those are the
# ones this notebook shrinks: from four bytes to one byte a weight.

# %%
total = sum(parameter.numel() for parameter in model.parameters())
linear = sum(weight.numel() for weight in weights.values())
print(f"{total:,} parameters, {4 * total / 1e6:.2f} MB; {linear:,} of them in {len(weights)} linear layers")

# %% [markdown]
# ## By hand
#
# Take four numbers, −0.9, 0.1, 0.5 and 1.6, and four bits.
#
# **Symmetric.** The codes are −7 … 7. The largest magnitude, 1.6, should become 7, so one step is
# 1.6 / 7 = 0.2286. Divide by the step and round: −3.94 → −4, 0.44 → 0, 2.19 → 2, 7 → 7. Multiply back:
# −0.914, 0, 0.457, 1.6. The 0.1 is gone, and the codes −7 to −5 are never used, because nothing is as far
# below zero as 1.6 is above.
#
# **Asymmetric.** The codes are 0 … 15 and cover −0.9 … 1.6, so one step is 2.5 / 15 = 0.1667: smaller by a
# quarter. Zero now lies 0.9 / 0.1667 = 5.4 steps above the bottom; round that to 5 and call it the zero-point.
# The codes are 0, 6, 8, 15, which stand for (code − 5) · 0.1667: −0.833, 0.167, 0.5, 1.667.
#
# The zero-point is rounded so that 0.0 is itself a grid point. Padding, masked positions and the output of a
# ReLU are full of zeros, and an error in each of them would add up.

# %% [markdown]
# ## Formula
#
# $$ s = \frac{\beta - \alpha}{2^b - 1} \qquad z = \mathrm{round}\left(-\frac{\alpha}{s}\right) \qquad
# q = \mathrm{clamp}\left(\mathrm{round}\left(\frac{x}{s}\right) + z,\ 0,\ 2^b - 1\right) \qquad
# \hat{x} = s\,(q - z) $$
#
# - $x$: a real value; $\hat{x}$: what is left of it; $q$: its code
# - $b$: bits per code; $s$: scale, the width of a step; $z$: zero-point, the code of 0.0
# - $[\alpha, \beta]$: the range, extended to contain 0: $\alpha = \min(\min x, 0)$, $\beta = \max(\max x, 0)$
#
# (Jacob et al. 2018, equations 1 and 12.) The symmetric grid has $z = 0$, codes $\pm(2^{b-1} - 1)$ and
# $s = \max|x| / (2^{b-1} - 1)$. One code on the negative side, −128 at eight bits, stays unused. That
# makes the grid the same on both sides of zero.
#
# Conventions of this course: rounding is `torch.round`, which takes ties to the even neighbour; symmetric means
# signed, asymmetric means unsigned.

# %% [markdown]
# ## You write: the grid
#
# `affine_qparams` looks at a tensor and returns scale and zero-point: one pair for the whole tensor, or one for
# each index along `axis`. A linear layer's weight has shape (out_features, in_features), so `axis=0` gives each
# output channel a grid of its own.
#
# <details><summary>Hint 1</summary>
# What is the smallest value of a tensor that holds only 3.0, 4.0 and 5.0, and which code would 0.0 need then?
# </details>
# <details><summary>Hint 2</summary>
# Move the axis to the front and flatten the rest. Both cases are then reductions over dimension 1 of a matrix,
# which has a single row when `axis` is None.
# </details>

# %% nbgrader={"grade_id": "affine_qparams", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.affine import affine_qparams

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_affine_qparams", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
by_hand = torch.tensor([-0.9, 0.1, 0.5, 1.6])
scale, zero_point = affine_qparams(by_hand, bits=4)
checks.assert_close(
    scale,
    1.6 / 7,
    "symmetric scale by hand",
    rtol=1e-6,
    hint="four bits have codes -7 to 7, so divide max|x| by 7, not by 8 or 15",
)
checks.assert_equal(
    zero_point, torch.tensor(0), "symmetric zero-point", hint="a symmetric grid has code 0 for 0.0"
)
scale, zero_point = affine_qparams(by_hand, bits=4, symmetric=False)
checks.assert_close(
    scale,
    2.5 / 15,
    "asymmetric scale by hand",
    rtol=1e-6,
    hint="sixteen codes have fifteen steps between them",
)
checks.assert_equal(
    zero_point, torch.tensor(5), "asymmetric zero-point by hand", hint="round 5.4 to a whole code"
)
scale, zero_point = affine_qparams(torch.ones(3, 4), axis=0)
checks.assert_shape(scale, (3,), "shape of per-channel scales", hint="one scale for each index along axis")
### BEGIN HIDDEN TESTS
from reference_impl.quantization.affine import affine_qparams as expected_qparams
from reference_impl.quantization.hidden_inputs import matrix_off_ties

x = matrix_off_ties(6, 40, checks.hidden_generator("affine_qparams"))
for symmetric, kind in ((True, "symmetric"), (False, "asymmetric")):
    for axis in (None, 0, -1):
        got_scale, got_zero_point = affine_qparams(x if axis != -1 else x.T, symmetric=symmetric, axis=axis)
        scale, zero_point = expected_qparams(x if axis != -1 else x.T, symmetric=symmetric, axis=axis)
        checks.assert_close(
            got_scale,
            scale,
            f"{kind} scale, axis {axis}",
            rtol=1e-5,
            hint="reduce over every dimension except axis, and over none but these",
        )
        checks.assert_equal(
            got_zero_point,
            zero_point,
            f"{kind} zero-point, axis {axis}",
            hint="round -low / scale to a whole code; it is 0 on a symmetric grid",
        )
cube = x.reshape(6, 5, 8)
checks.assert_close(
    affine_qparams(cube, axis=1)[0],
    expected_qparams(cube, axis=1)[0],
    "scale along the middle axis",
    rtol=1e-5,
    hint="axis can be any dimension: move it to the front before flattening",
)
for offset, side in ((3.0, "positive"), (-5.0, "negative")):
    one_sided = torch.rand(50, generator=checks.hidden_generator(side)) + offset
    got_scale, got_zero_point = affine_qparams(one_sided, symmetric=False)
    scale, zero_point = expected_qparams(one_sided, symmetric=False)
    checks.assert_close(
        got_scale,
        scale,
        f"scale of all-{side} values",
        rtol=1e-5,
        hint="extend the range to contain 0 before computing the scale",
    )
    checks.assert_equal(
        got_zero_point,
        zero_point,
        f"zero-point of all-{side} values",
        hint="extend the range to contain 0, so that 0.0 has a code between 0 and 255",
    )
for bits in range(2, 9):
    checks.assert_close(
        affine_qparams(x, bits=bits, symmetric=False)[0],
        expected_qparams(x, bits=bits, symmetric=False)[0],
        f"asymmetric scale at {bits} bits",
        rtol=1e-5,
        hint="the number of steps follows from bits",
    )
with_zeros = torch.stack([x[0], torch.zeros(40)])
for symmetric, kind in ((True, "symmetric"), (False, "asymmetric")):
    with nonfinite_allowed():
        got_scale, got_zero_point = affine_qparams(with_zeros, symmetric=symmetric, axis=0)
    checks.assert_close(
        got_scale[1], 1.0, f"{kind} scale of a row of zeros", hint="where all values are zero the scale is 1"
    )
    checks.assert_close(
        got_scale[0],
        expected_qparams(x[0], symmetric=symmetric)[0],
        f"{kind} scale beside a row of zeros",
        rtol=1e-5,
        hint="replace only the scales that are 0, and replace nothing else",
    )
checks.assert_true(
    not got_zero_point.is_floating_point(), "zero-point is an integer tensor", hint="return it as torch.int32"
)
checks.assert_raises("ValueError", affine_qparams, x, bits=1, label="one bit is refused", hint="2 to 8 bits")
checks.assert_raises(
    "ValueError", affine_qparams, x, bits=9, label="nine bits are refused", hint="2 to 8 bits"
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: codes
#
# `quantize` turns values into codes. Mind the order: round, then add the zero-point, then clamp, then cast.
# A cast of 200 to int8 without a clamp gives −56.

# %% nbgrader={"grade_id": "quantize", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.affine import quantize

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_quantize", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
by_hand = torch.tensor([-0.9, 0.1, 0.5, 1.6])
codes = quantize(by_hand, torch.tensor(1.6 / 7), torch.tensor(0), bits=4)
checks.assert_equal(
    codes, torch.tensor([-4, 0, 2, 7]), "symmetric codes by hand", hint="divide, round, clamp"
)
checks.assert_equal(
    str(codes.dtype), "torch.int8", "dtype of symmetric codes", hint="cast to int8 at the end"
)
codes = quantize(by_hand, torch.tensor(1 / 6), torch.tensor(5), bits=4, symmetric=False)
checks.assert_equal(
    codes,
    torch.tensor([0, 6, 8, 15]),
    "asymmetric codes by hand",
    hint="round x / scale before adding the zero-point",
)
### BEGIN HIDDEN TESTS
from reference_impl.quantization.hidden_inputs import values_off_ties

generator = checks.hidden_generator("quantize")
for symmetric, kind in ((True, "symmetric"), (False, "asymmetric")):
    for bits in (2, 3, 8):
        highest = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
        wanted = torch.randint(-highest if symmetric else 0, highest + 1, (5, 30), generator=generator)
        scale = 0.01 + torch.rand(5, generator=generator)
        zero_point = torch.randint(0, highest + 1, (5,), generator=generator, dtype=torch.int32) * (
            not symmetric
        )
        x = values_off_ties(wanted, scale[:, None], zero_point[:, None], generator)
        got = quantize(x, scale, zero_point, bits=bits, symmetric=symmetric, axis=0)
        checks.assert_equal(
            got,
            wanted,
            f"{kind} codes at {bits} bits, axis 0",
            hint="reshape scale and zero-point so that they run along axis, and round to the nearest code",
        )
        got = quantize(x.T, scale, zero_point, bits=bits, symmetric=symmetric, axis=-1)
        checks.assert_equal(
            got, wanted.T, f"{kind} codes at {bits} bits, axis -1", hint="negative axes count from the end"
        )
far = torch.tensor([-1000.0, 1000.0])
checks.assert_equal(
    quantize(far, torch.tensor(0.5), torch.tensor(0)),
    torch.tensor([-127, 127]),
    "symmetric codes of far values",
    hint="the symmetric grid ends at -127 and 127: clamp before the cast",
)
checks.assert_equal(
    quantize(far, torch.tensor(0.5), torch.tensor(40), symmetric=False),
    torch.tensor([0, 255]),
    "asymmetric codes of far values",
    hint="clamp after the zero-point is added",
)
ties = torch.tensor([0.5, 1.5, 2.5, -0.5])
checks.assert_equal(
    quantize(ties, torch.tensor(1.0), torch.tensor(3), symmetric=False),
    torch.tensor([3, 5, 5, 3]),
    "codes of exact ties",
    hint="torch.round takes ties to the even neighbour, before the zero-point is added",
)
checks.assert_equal(
    str(quantize(ties, torch.tensor(1.0), torch.tensor(3), symmetric=False).dtype),
    "torch.uint8",
    "dtype of asymmetric codes",
    hint="an asymmetric grid is unsigned",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: back to real numbers

# %% nbgrader={"grade_id": "dequantize", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.affine import dequantize

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_dequantize", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
codes = torch.tensor([-4, 0, 2, 7], dtype=torch.int8)
restored = dequantize(codes, torch.tensor(1.6 / 7), torch.tensor(0))
checks.assert_close(
    restored,
    torch.tensor([-0.9143, 0.0, 0.4571, 1.6]),
    "values by hand",
    atol=1e-4,
    hint="scale times the code",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("dequantize")
codes = torch.randint(0, 256, (4, 6, 5), generator=generator, dtype=torch.uint8)
scale = 0.01 + torch.rand(6, generator=generator)
zero_point = torch.randint(100, 256, (6,), generator=generator, dtype=torch.int32)
expected = (codes.double() - zero_point[:, None]) * scale.double()[:, None]
checks.assert_close(
    dequantize(codes, scale, zero_point, axis=1),
    expected,
    "values of uint8 codes along axis 1",
    rtol=1e-5,
    hint="uint8 wraps around below 0: convert the codes before subtracting the zero-point",
)
checks.assert_close(
    dequantize(codes.movedim(1, -1), scale, zero_point, axis=-1),
    expected.movedim(1, -1),
    "values of uint8 codes along axis -1",
    rtol=1e-5,
    hint="reshape scale and zero-point so that they run along axis",
)
signed = torch.randint(-127, 128, (7,), generator=generator, dtype=torch.int8)
checks.assert_close(
    dequantize(signed, scale[0], zero_point[0]),
    (signed.double() - zero_point[0]) * scale[0].double(),
    "values of int8 codes and a zero-point",
    rtol=1e-5,
    hint="subtract the zero-point first, then multiply by the scale",
)
checks.assert_equal(
    str(dequantize(codes, scale[0], zero_point[0]).dtype),
    "torch.float32",
    "dtype of values",
    hint="return float32, the dtype the layer computes in",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Signal and noise
#
# How good is a grid? Compare the power of the signal with the power of the error, in decibels:
#
# $$ \mathrm{SQNR} = 10 \log_{10} \frac{\sum_i x_i^2}{\sum_i (x_i - \hat{x}_i)^2} $$
#
# The four numbers above have a signal of 3.63. The symmetric grid's error is 0.0143² + 0.1² + 0.0429² + 0² =
# 0.0120, which makes 24.8 dB; the asymmetric grid's is 0.0133, 24.3 dB. Half the error is 6 dB more, and that
# is what one more bit buys.

# %% nbgrader={"grade_id": "sqnr_db", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.metrics import sqnr_db

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_sqnr_db", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
by_hand = torch.tensor([-0.9, 0.1, 0.5, 1.6])
checks.assert_close(
    sqnr_db(by_hand, torch.tensor([-0.9143, 0.0, 0.4571, 1.6])),
    24.797,
    "ratio by hand",
    atol=0.01,
    hint="sums of squares, and 10 times the logarithm to base 10",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("sqnr_db")
signal = 3 + torch.randn(20, 30, generator=generator)
noise = torch.randn(20, 30, generator=generator)
for size in (1.0, 1e-2, 1e-6):
    noisy = signal.double() + size * noise.double()
    expected = 10 * math.log10(float(signal.double().square().sum() / (size * noise.double()).square().sum()))
    checks.assert_close(
        sqnr_db(signal.double(), noisy),
        expected,
        f"ratio for noise of size {size:g}",
        atol=1e-3,
        hint="sum of squares of the signal over sum of squares of the difference, in float64",
    )
with nonfinite_allowed():
    lossless = sqnr_db(signal, signal)
checks.assert_equal(lossless, math.inf, "ratio without noise", hint="return math.inf when nothing was lost")
checks.assert_raises(
    "ValueError",
    sqnr_db,
    signal,
    signal[0],
    label="different shapes are refused",
    hint="broadcasting would compare each row with the first",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# One layer's weight has 384 rows. With one grid for the whole matrix, the largest weight of all rows sets
# the step for every row. Before you run the next cell, write down your guess: how many decibels does a grid per
# row win at eight bits? And at three?


# %%
def weight_sqnr(weight: Tensor, bits: int, symmetric: bool, axis: int | None) -> float:
    """Quantize one weight matrix and return its SQNR in dB."""
    scale, zero_point = affine_qparams(weight, bits=bits, symmetric=symmetric, axis=axis)
    codes = quantize(weight, scale, zero_point, bits=bits, symmetric=symmetric, axis=axis)
    return sqnr_db(weight, dequantize(codes, scale, zero_point, axis=axis))


GRIDS = {
    "symmetric, per tensor": (True, None),
    "asymmetric, per tensor": (False, None),
    "symmetric, per channel": (True, 0),
    "asymmetric, per channel": (False, 0),
}
sqnr_of = {
    grid: [sum(weight_sqnr(w, bits, *how) for w in weights.values()) / len(weights) for bits in range(2, 9)]
    for grid, how in GRIDS.items()
}
for grid, values in sqnr_of.items():
    print(
        f"{grid:24s}",
        "  ".join(f"{bits} bit {value:5.1f}" for bits, value in zip(range(2, 9), values, strict=True)),
    )

# %%
figure = plots.lines(
    range(2, 9),
    sqnr_of,
    x_label="bits per weight",
    y_label="SQNR of the weights (dB)",
    alt="SQNR against bits. Four nearly parallel lines rise by 6 dB a bit; both per-channel lines lie above both "
    "per-tensor lines.",
)
plots.show(figure)

# %% [markdown]
# Look at two distances. Going right, each bit adds 6 to 7.5 dB from three bits on. Going up, per channel adds
# 3.5 dB, more than half a bit, for one scale a row. Asymmetric adds less than 1 dB at eight bits: the weights
# are nearly balanced around zero, so a zero-point gains them little.
#
# ### Check: what a grid per channel gains

# %% nbgrader={"grade_id": "test_per_channel_gain", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
query = weights["bert.encoder.layer.0.attention.self.query"]
ratios = []
for axis in (None, 0):
    scale, zero_point = affine_qparams(query, axis=axis)
    codes = quantize(query, scale, zero_point, axis=axis)
    noise = query.double() - scale.double().reshape(-1, 1) * codes.double()
    ratios.append(10 * math.log10(float(query.double().square().sum() / noise.square().sum())))
checks.assert_at_least(
    ratios[1] - ratios[0],
    2.0,
    "gain on the first layer",
    unit="dB",
    hint="axis=0 gives each of the 96 rows a scale of its own",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("per_channel_gain")
chosen = [list(weights)[index] for index in torch.randperm(len(weights), generator=generator)[:13]]
gains, ratios, stored, original = [], [], 0, 0
for name in chosen:
    weight = weights[name].double()
    pair = []
    for axis in (None, 0):
        scale, zero_point = affine_qparams(weights[name], axis=axis)
        codes = quantize(weights[name], scale, zero_point, axis=axis)
        if codes.dtype != torch.int8 or scale.numel() != (1 if axis is None else len(weight)):
            checks.assert_true(
                False,
                "int8 codes and one scale a grid",
                hint="return int8 codes, one scale for the tensor or one for each row",
            )
        noise = weight - scale.double().reshape(-1, 1) * codes.double()
        pair.append(10 * math.log10(float(weight.square().sum() / noise.square().sum())))
    gains.append(pair[1] - pair[0])
    ratios.append(pair[1])
    stored += codes.numel() * codes.element_size() + 4 * scale.numel()
    original += 4 * weight.numel()
checks.assert_at_least(
    sum(gains) / len(gains),
    2.5,
    "gain of per-channel grids",
    unit="dB",
    hint="does each row have its own scale?",
)
checks.assert_at_least(
    sum(ratios) / len(ratios),
    42.0,
    "ratio of per-channel grids",
    unit="dB",
    hint="truncating instead of rounding costs 6 dB",
)
checks.assert_at_least(
    original / stored, 3.6, "times smaller, scales counted", hint="one byte a code and four bytes a scale"
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: bytes
#
# A compression ratio counts everything that has to be stored: codes, scales, zero-points, and the tensors that
# stay in 32 bits. A matrix of 96 × 96 takes 36,864 bytes in float32. At eight bits with a grid per row it takes
# 9,216 bytes of codes and 96 · 4 = 384 bytes of scales: 3.84 times smaller, not 4. At three bits the codes are
# packed, eight of them in three bytes.

# %% nbgrader={"grade_id": "model_bytes", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.metrics import model_bytes

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_model_bytes", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
matrix = {
    "codes": torch.zeros(96, 96, dtype=torch.int8),
    "bits": 8,
    "scale": torch.ones(96),
    "zero_point": None,
}
checks.assert_equal(
    model_bytes({"query": matrix}),
    9600,
    "bytes of one 8-bit matrix",
    hint="9,216 bytes of codes and 384 of scales",
)
checks.assert_equal(
    model_bytes({"query": matrix, "norm": torch.ones(96)}),
    9984,
    "bytes with a float32 tensor",
    hint="four bytes each",
)
### BEGIN HIDDEN TESTS
small = {"codes": torch.zeros(3, 5, dtype=torch.uint8), "scale": torch.ones(3)}
zero_points = torch.zeros(3, dtype=torch.int32)
checks.assert_equal(
    model_bytes({"a": {**small, "bits": 3, "zero_point": None}}),
    18,
    "bytes of 15 packed 3-bit codes",
    hint="45 bits fill six bytes: pack the codes, and round up once per tensor",
)
checks.assert_equal(
    model_bytes({"a": {**small, "bits": 4, "zero_point": zero_points}}),
    32,
    "bytes with zero-points",
    hint="a zero-point is stored too, at its own width",
)
checks.assert_equal(
    model_bytes({name: {**small, "bits": 3, "zero_point": None} for name in "abcd"}),
    72,
    "bytes of four tensors",
    hint="each tensor is padded to whole bytes by itself",
)
checks.assert_equal(
    model_bytes({"half": torch.zeros(10, dtype=torch.float16), "long": torch.zeros(2, dtype=torch.int64)}),
    36,
    "bytes of other dtypes",
    hint="not every tensor has four bytes an element",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Measure
#
# Now the whole classifier: quantize every linear layer's weight, put the restored values back, and look at
# accuracy on the validation sentences.


# %%
def with_quantized_weights(bits: int, symmetric: bool, axis: int | None) -> tuple[nn.Module, dict[str, Any]]:
    """A copy of the model with quantized linear weights, and the parts that would be stored."""
    quantized = copy.deepcopy(model)
    parts: dict[str, Any] = dict(quantized.named_parameters())
    for name in weights:
        weight = parts[f"{name}.weight"]
        scale, zero_point = affine_qparams(weight.data, bits=bits, symmetric=symmetric, axis=axis)
        codes = quantize(weight.data, scale, zero_point, bits=bits, symmetric=symmetric, axis=axis)
        weight.data = dequantize(codes, scale, zero_point, axis=axis)
        parts[f"{name}.weight"] = {
            "codes": codes,
            "bits": bits,
            "scale": scale,
            "zero_point": None if symmetric else zero_point,
        }
    return quantized, parts


validation = data.tensors(data.languages()["validation"])
_, before = evaluation.quality(model, validation)
fp32_bytes = model_bytes(dict(model.named_parameters()))
print(f"{'float32':26s}{fp32_bytes / 1e6:7.2f} MB, 1.00x accuracy {before:.3f}")
for bits in (8, 4, 3, 2):
    for axis in (None, 0):
        quantized, parts = with_quantized_weights(bits, True, axis)
        size = model_bytes(parts)
        label = f"{bits} bits, {'per tensor' if axis is None else 'per channel'}"
        print(
            f"{label:26s}{size / 1e6:7.2f} MB, {fp32_bytes / size:4.2f}x"
            f" accuracy {evaluation.quality(quantized, validation)[1]:.3f}"
        )

# %% [markdown]
# From eight down to three bits every line keeps the accuracy of the original to within three sentences in a
# thousand, although the SQNR falls by 32 dB on the way. Accuracy cannot tell a correct quantizer from a sloppy
# one here. That is why the checks of this lab look at codes and decibels, and why accuracy is shown but not
# graded. At two bits the symmetric grid has only −1, 0 and 1, and accuracy speaks at last: 0.661 with one grid a
# tensor, 0.870 with one grid a row, 0.898 without quantization.
#
# The whole model shrinks less than its linear layers do: the embeddings stay in float32 here. In the next table,
# recovery is a row's accuracy over float32's.

# %%
models: dict[str, Any] = {"float32": evaluation.Entry(model, stored_bytes=fp32_bytes)}
for bits in (8, 3):
    quantized, parts = with_quantized_weights(bits, True, 0)
    models[f"{bits}-bit weights"] = evaluation.Entry(quantized, stored_bytes=model_bytes(parts))
table = evaluation.report(models, validation)
print(evaluation.show(table.drop(columns=["parameters", "MACs a row", "sparsity"])))

# %% [markdown]
# ## What goes wrong
#
# - **Truncating.** `.to(torch.int8)` drops the fraction. The error is then up to a whole step and always points
#   to zero. From five bits on every line of the plot drops by almost 6 dB, a whole bit.
# - **A range without 0.** A tensor from 3 to 5 gets a finer grid, and 0.0 gets no code at all. Nothing looks wrong
#   until a padded position turns up as 3.0.
# - **The wrong axis.** `axis=1` on a weight of shape (out, in) gives each input its own scale. SQNR is as good, but
#   the scale can no longer be pulled out of the sum over inputs, so an integer matrix product is impossible.
#   Notebook 02 needs it outside the sum.
#
# ## At full size
#
# The same functions work on the real checkpoint. Where its weights or a GPU are missing, the cell says so in one
# line.

# %%
try:
    full = zoo.load("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    name, layer = next((n, m) for n, m in full.named_modules() if isinstance(m, nn.Linear))
    for axis in (None, 0):
        print(name, "axis", axis, f"{weight_sqnr(layer.weight.detach(), 8, True, axis):.1f} dB")

# %% [markdown]
# ## Further reading
#
# - Nagel et al. 2021 (arXiv 2106.08295), sections 1 and 2: the same formulas with the hardware's view of them.
# - Krishnamoorthi 2018 (arXiv 1806.08342), section 3: what per-channel grids did for networks with batch norm,
#   where they matter more than here.
# - Gersho and Gray 1992, *Vector Quantization and Signal Compression*, chapter 5: where 6 dB a bit comes from.
