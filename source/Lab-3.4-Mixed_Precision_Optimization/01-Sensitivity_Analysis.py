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
# # Sensitivity analysis
#
# You quantize one layer of a language model at a time and measure how far its predictions move, without a label.
#
# | | |
# |---|---|
# | You will be able to | measure which layers can bear few bits, and say how far to trust the measurement |
# | Time | about 75 minutes |
# | Points | 24 of the lab's 100: 16 autograded, 8 for the written question |
# | You need | what a group-wise grid of b bits is; logits and softmax; PyTorch modules |
# | Papers | Cai et al. 2020, ZeroQ (arXiv 2001.00281); Dong et al. 2019, HAWQ (arXiv 1905.03696); Kullback and Leibler 1951; Spearman 1904 |

# %% [markdown] lang="zh-TW"
# # 敏感度分析
#
# 你會一次只量化語言模型的一層，在沒有標籤的情況下量出它的預測改變了多少。
#
# | | |
# |---|---|
# | 完成後你能 | 量出哪些層禁得起少量位元，並說明這個量測可以相信到什麼程度 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 24 分：自動評分 16 分，書面題 8 分 |
# | 先備知識 | 分組 b 位元格點；logits 與 softmax；PyTorch 模組 |
# | 論文 | Cai et al. 2020, ZeroQ (arXiv 2001.00281)；Dong et al. 2019, HAWQ (arXiv 1905.03696)；Kullback and Leibler 1951；Spearman 1904 |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
from collections.abc import Callable, Mapping

import torch
from labkit import checks, data, evaluation, ops, plots, runtime, zoo
from labkit.probe import nonfinite_allowed, probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=341)
model = zoo.load("llama").eval()
layers = list(ops.linear_layers(model, skip=("lm_head",)))  # lm_head shares its weight with the embedding
train = data.tensors(data.prose()["train"].select(range(8)))["input_ids"]
GROUP = 64


def on_grid(weight: Tensor, bits: int) -> Tensor:
    """Round to the nearest of 2^bits levels; every 64 weights of a row have a scale and a zero-point."""
    return ops.snap_groups(weight.detach(), bits, GROUP)


# %% [markdown]
# ## Why
#
# The tiny Llama holds 853,120 weights, 786,432 of them in the 28 linear layers of its four blocks. With all 28 at four
# bits its perplexity on the validation addresses goes from 13.73 to 14.05, at three bits to 15.59 and at two to 41.57.
# But the layers do not share the blame evenly: at two bits the value projection of the first block, 1% of these
# weights, moves the output seventy times as far as the query projection of the second, which is twice as large. Whoever
# knows this gives the first more bits and the second fewer, at the same size. This notebook measures it.

# %% [markdown]
# ## By hand
#
# A model chooses between two tokens. Its reference gives them 0.8 and 0.2; a quantized copy gives 0.6 and 0.4. How
# far has it moved? Average the log of the ratio with the reference's own probabilities:
#
# - 0.8 · ln(0.8 / 0.6) + 0.2 · ln(0.2 / 0.4) = 0.8 · 0.288 − 0.2 · 0.693 = 0.230 − 0.139 = 0.092 nats.
#
# The other way round, 0.6 · ln(0.6 / 0.8) + 0.4 · ln(0.4 / 0.2) = 0.105: the order matters. Where nothing has moved,
# the ratio is 1, its log 0, and so is the sum. It is never negative.

# %% [markdown]
# ## Formula
#
# $$ \Omega_\ell(b) = \frac{1}{T} \sum_{t=1}^{T} \mathrm{KL}\left(p_t \,\|\, q_t^{(\ell, b)}\right), \qquad
# \mathrm{KL}(p \,\|\, q) = \sum_c p_c\,(\ln p_c - \ln q_c) $$
#
# - $p_t$: the full-precision model's prediction at token $t$ of $T$, (vocabulary,), softmax of its logits
# - $q_t^{(\ell, b)}$: the prediction when the weight of layer $\ell$ is on a grid of $b$ bits and all others are not
#
# (Cai et al. 2020, sensitivity analysis.) The measure asks what the full model would have said, not what the text says, so it
# needs no labels and it does not reward a copy for being wrong in a luckier way.
#
# ## You write: the divergence
#
# `kl_divergence` compares two tensors of logits. Subtracting logarithms is safe where dividing probabilities is not:
# for a token with a logit 200 below the largest, float32 makes the probability 0, and 0 / 0 is no number.
#
# <details><summary>Hint</summary>
# Which function gives the logarithm of a softmax without computing the softmax first?
# </details>

# %% nbgrader={"grade_id": "kl_divergence", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.sensitivity import kl_divergence

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_kl_divergence", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
full, moved = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.6, 0.4]]).log()
checks.assert_close(
    kl_divergence(full, moved),
    0.0915,
    "divergence by hand",
    atol=1e-4,
    hint="0.8 ln(0.8/0.6) + 0.2 ln(0.2/0.4) = 0.0915; 0.1046 is the other way round",
)
checks.assert_close(kl_divergence(full, full), 0.0, "divergence of equals", atol=1e-6, hint="ln 1 = 0")
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("kl_divergence")
p_logits = 2 * torch.randn(3, 5, 11, generator=generator)
q_logits = p_logits + torch.randn(3, 5, 11, generator=generator)
p, q = (torch.softmax(logits.double(), -1) for logits in (p_logits, q_logits))
expected = float((p * (p / q).log()).sum(-1).mean())
checks.assert_close(
    kl_divergence(p_logits, q_logits),
    expected,
    "mean over rows and tokens",
    rtol=1e-5,
    hint="the mean over every leading position: reduction='batchmean' divides by the first dimension only",
)
checks.assert_close(
    kl_divergence(q_logits, p_logits),
    float((q * (q / p).log()).sum(-1).mean()),
    "the other way round",
    rtol=1e-5,
    hint="the first argument is the reference and weighs the logarithms",
)
checks.assert_close(
    kl_divergence(p_logits + 7.0, q_logits - 3.0),
    expected,
    "logits shifted by a constant",
    rtol=1e-5,
    hint="softmax does not change when a constant is added to all logits: normalise them",
)
far = torch.tensor([[1000.0, 0.0, 1.0]])
with nonfinite_allowed():
    far_from_even, even_from_far = (
        kl_divergence(far, torch.zeros(1, 3)),
        kl_divergence(torch.zeros(1, 3), far),
    )
checks.assert_close(
    far_from_even,
    1.0986123,
    "logits a thousand apart",
    rtol=1e-5,
    hint="use log_softmax: the probability of the second token is 0 in any float, its logarithm is -1000",
)
checks.assert_close(
    even_from_far,
    665.234721,
    "a prediction that excludes two tokens",
    rtol=1e-4,
    hint="no small constant inside the logarithm: it caps the divergence",
)
near = p_logits + 1e-4 * torch.randn(3, 5, 11, generator=generator)
q = torch.softmax(near.double(), -1)
checks.assert_close(
    kl_divergence(p_logits, near),
    float((p * (p / q).log()).sum(-1).mean()),
    "a divergence of a billionth",
    rtol=0.01,
    hint="compute in float64: in float32 rounding is as large as this divergence",
)
checks.assert_raises(
    "ValueError",
    kl_divergence,
    p_logits,
    q_logits[:1],
    label="shapes that differ",
    hint="(3, 5, 11) and (1, 5, 11) broadcast without a word: compare the shapes first",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: one layer at a time
#
# `layer_sensitivity` runs the model once as it is, then once for each layer with this layer's weight on a grid. The
# mistake to fear is a weight that is not put back: from then on every layer is charged for its predecessors too.
#
# <details><summary>Hint</summary>
# What happens to the weight when `quantize` raises an error? Which statement of Python runs in either case?
# </details>
# <details><summary>Hint</summary>
# A batch of 2 rows and one of 6: the mean of two means counts the first batch's tokens three times as much.
# </details>

# %% nbgrader={"grade_id": "layer_sensitivity", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.sensitivity import layer_sensitivity

# %% [markdown]
# ### Check
#
# The first check uses a model of two layers with dropout between them, whose divergences are worked out beside it.
# The last one takes your measurement of the Llama on blocks of training text and compares the order of its 28 layers
# with a measurement on text that you do not have: Spearman's rank correlation, which you write next, must reach 0.9.
# The order of the layers by the squared error of their weights has about 0.3.


# %% nbgrader={"grade_id": "test_layer_sensitivity", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
@probe
def small_run(layer_sensitivity, state, batches, bits, breaks=False):
    from types import SimpleNamespace

    import torch
    from torch import nn

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(9, 5)
            self.first = nn.Linear(5, 6)
            self.drop = nn.Dropout(0.5)
            self.second = nn.Linear(6, 9, bias=False)
            self.register_buffer("shift", torch.ones(9))
            self.modes = []

        def forward(self, input_ids):
            self.modes.append(self.training or torch.is_grad_enabled())
            hidden = torch.relu(self.first(self.embed(input_ids)))
            return SimpleNamespace(logits=self.second(self.drop(hidden)) + self.shift)

    asked = []

    def quantize(weight, bits):
        asked.append([list(weight.shape), bits])
        if breaks and weight.shape[0] == 9:
            weight.zero_()
            raise RuntimeError("this layer cannot be quantized")
        return torch.round(weight * bits) / bits

    torch.manual_seed(0)
    net = Small()
    net.load_state_dict(state)
    net.train()
    before = dict(net.named_parameters())
    named = ["second", "first"]
    try:
        values = layer_sensitivity(net, named, [{"input_ids": batch} for batch in batches], bits, quantize)
    except RuntimeError:
        values = {}
    return {
        "values": values,
        "asked": asked,
        "modes": net.modes,
        "training": [module.training for module in net.modules()],
        "same": [parameter is before[name] for name, parameter in net.named_parameters()],
        "free": [parameter.grad is None and parameter.requires_grad for parameter in net.parameters()],
        "state": {key: value.clone() for key, value in net.state_dict().items()},
    }


torch.manual_seed(3)
parts = {"embed.weight": torch.randn(9, 5), "first.weight": torch.randn(6, 5), "first.bias": torch.randn(6)}
parts |= {"second.weight": torch.randn(9, 6), "shift": torch.randn(9)}
evidence = small_run(layer_sensitivity, parts, [torch.tensor([[1, 2, 3]])], 2)
checks.assert_equal(
    list(evidence["values"]), ["second", "first"], "layers measured", hint="one entry a name, in order"
)
checks.assert_equal(
    evidence["asked"], [[[9, 6], 2], [[6, 5], 2]], "calls of quantize", hint="each layer's weight once"
)
### BEGIN HIDDEN TESTS
from heldout import prose as test_split
from reference_impl.quantization.sensitivity import layer_sensitivity as expected_sensitivity
from reference_impl.quantization.sensitivity import spearman as expected_spearman

generator = checks.hidden_generator("layer_sensitivity")
parts = {key: torch.randn(value.shape, generator=generator) for key, value in parts.items()}
batches = [torch.randint(0, 9, shape, generator=generator) for shape in ((1, 4), (5, 7))]


def log_predictions(weights):
    hidden = weights["embed.weight"][torch.cat([b.flatten() for b in batches])].double()
    hidden = torch.relu(hidden @ weights["first.weight"].double().T + weights["first.bias"].double())
    return torch.log_softmax(hidden @ weights["second.weight"].double().T + weights["shift"].double(), -1)


for bits in (1, 2):
    evidence = small_run(layer_sensitivity, parts, batches, bits)
    reference = log_predictions(parts)
    for name in ("first", "second"):
        key = f"{name}.weight"
        changed = log_predictions({**parts, key: torch.round(parts[key] * bits) / bits})
        expected = float((reference.exp() * (reference - changed)).sum(-1).mean())
        checks.assert_close(
            evidence["values"][name],
            expected,
            f"sensitivity of the layer {name}, {bits} bits",
            rtol=1e-3,
            atol=1e-5,
            hint="eval mode, all other layers as they were, and every token of all batches with the same weight",
        )
for key, value in parts.items():
    checks.assert_equal(
        evidence["state"][key], value, f"{key} afterwards", hint="put the weight back bit for bit"
    )
checks.assert_equal(
    [evidence["modes"].count(True), len(evidence["modes"])],
    [0, 6],
    "forward passes in train mode or with gradients, and all",
    hint="eval mode and no_grad; two batches: 2 passes of the original and 2 for each of the two layers",
)
checks.assert_true(all(evidence["training"]), "mode afterwards", hint="the model came in train mode")
checks.assert_true(all(evidence["same"]), "the same parameters", hint="change the values, not the objects")
checks.assert_true(
    all(evidence["free"]), "parameters left free", hint="no .grad, and requires_grad as it was"
)
evidence = small_run(layer_sensitivity, parts, batches, 2, breaks=True)
for key, value in parts.items():
    checks.assert_equal(
        evidence["state"][key],
        value,
        f"{key} after an error",
        hint="put the weight back in a finally block, and give quantize a copy",
    )
checks.assert_true(all(evidence["training"]), "mode after an error", hint="restore it in a finally block")


@probe
def llama_run(layer_sensitivity, names, blocks, bits):
    from labkit import zoo

    net = zoo.load("llama").eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    values = layer_sensitivity(net, names, [{"input_ids": blocks}], bits, on_grid)
    after = net.state_dict()
    return {"values": values, "moved": [key for key in before if not before[key].equal(after[key])]}


some = torch.randperm(len(layers), generator=generator)[:4].tolist()
evidence = llama_run(layer_sensitivity, [layers[index] for index in some], train[:2], None)
checks.assert_at_most(
    max(abs(value) for value in evidence["values"].values()),
    1e-5,
    "largest divergence with bits=None",
    hint="nothing is quantized, so nothing moves: what is left over from another layer?",
)
drawn = torch.randperm(len(train), generator=generator)[:8]
evidence = llama_run(layer_sensitivity, layers, train[drawn], 3)
checks.assert_at_least(
    min(evidence["values"].values()),
    -1e-5,
    "smallest divergence at 3 bits",
    hint="a KL divergence is never negative: normalise both distributions",
)
checks.assert_equal(evidence["moved"], [], "parameters of the Llama that moved", hint="put every weight back")
test = data.tensors(test_split())["input_ids"]
drawn = torch.randperm(len(test), generator=generator)[:8]
truth = expected_sensitivity(model, layers, [{"input_ids": test[drawn]}], 3, on_grid)
checks.assert_at_least(
    expected_spearman([truth[name] for name in layers], [evidence["values"][name] for name in layers]),
    0.9,
    "rank correlation with the order on other text",
    hint="KL of the model's output, one layer at a time",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# A block has seven linear layers: query, key, value, output, gate, up, down. Which block do you expect to be the most
# sensitive, and which layer in it? Will the lines for two, three and four bits cross?

# %%
blocks = [{"input_ids": train[:8]}]
sensitivity = {bits: layer_sensitivity(model, layers, blocks, bits, on_grid) for bits in (2, 3, 4)}
figure = plots.lines(
    range(len(layers)),
    {f"{bits} bits": list(values.values()) for bits, values in sensitivity.items()},
    x_label="linear layer (q k v o gate up down, block by block)",
    y_label="KL divergence (nats a token)",
    log_y=True,
    alt="KL divergence of the output for each of 28 linear layers quantized alone, at 2, 3 and 4 bits, on a log scale. "
    "The three lines are nearly parallel, about five times apart. The value and output projections of the first block "
    "stand out; the query and key projections of the second and fourth are lowest.",
)
figure.axes[0].set_xticks([0, 7, 14, 21], ["block 0", "block 1", "block 2", "block 3"])
plots.show(figure)
ranking = sorted(layers, key=lambda name: -sensitivity[3][name])
for name in [*ranking[:3], *ranking[-3:]]:
    print(f"{name:40s}", "  ".join(f"{bits} bits {sensitivity[bits][name]:.5f}" for bits in (2, 3, 4)))

# %% [markdown]
# The first block stands out, and in it the value and output projections: what they get wrong enters the residual stream
# before anything else, and every later layer reads it. Query and key matter less, since a softmax over many tokens
# hides small errors of its scores. The lines hardly cross: one measurement at three bits ranks the layers for two and
# four as well. From four bits to three the divergences add up to 4.6 times as much, from three to two to 6.2 times;
# the squared rounding error grows about fourfold a bit.
#
# ## You write: do two orders agree?
#
# "Hardly cross" needs a number. Spearman's coefficient compares orders: replace each value by its rank, and take the
# ordinary correlation of the ranks,
#
# $$ \rho = \frac{\sum_i (r_i - \bar r)(s_i - \bar s)}{\sqrt{\sum_i (r_i - \bar r)^2}\,\sqrt{\sum_i (s_i - \bar s)^2}} $$
#
# - $r_i, s_i$: ranks of item $i$ in the two lists; values that are equal share the mean of their ranks
#
# By hand: 10, 30, 20, 30 have the ranks 1, 3.5, 2, 3.5, because the two 30s take up places 3 and 4.

# %% nbgrader={"grade_id": "spearman", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.sensitivity import spearman

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_spearman", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
checks.assert_close(
    spearman([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 50.0, 0.3]),
    0.8,
    "one swap among four",
    atol=1e-9,
    hint="ranks 1 2 3 4 and 1 2 4 3: correlate ranks, not values",
)
checks.assert_close(
    spearman([1.0, 2.0, 3.0], [9.0, 5.0, 1.0]), -1.0, "opposite orders", atol=1e-9, hint="-1, not 0"
)
### BEGIN HIDDEN TESTS
from scipy import stats

generator = checks.hidden_generator("spearman")
for count in (2, 7, 40):
    one, two = torch.rand(2, count, generator=generator, dtype=torch.float64).tolist()
    checks.assert_close(
        spearman(one, two),
        float(stats.spearmanr(one, two).statistic),
        f"{count} values",
        atol=1e-9,
        hint="Pearson correlation of the ranks",
    )
one = torch.tensor([0.0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 5])[torch.randperm(12, generator=generator)].tolist()
two = torch.tensor([0.0, 0, 0, 0, 0, 1, 2, 2, 3, 4, 4, 4])[torch.randperm(12, generator=generator)].tolist()
checks.assert_close(
    spearman(one, two),
    float(stats.spearmanr(one, two).statistic),
    "lists with equal values",
    atol=1e-9,
    hint="equal values share the mean of their ranks; the formula with 6 sum d^2 holds without ties only",
)
checks.assert_close(
    spearman([value * 1e-9 for value in one], two),
    float(stats.spearmanr(one, two).statistic),
    "tiny values",
    atol=1e-9,
    hint="equal means equal, not close: divergences can be a billionth",
)
for label, pair in (
    ("lists of two lengths", ([1.0, 2.0, 3.0], [1.0, 2.0])),
    ("a single pair", ([1.0], [2.0])),
    ("a constant list", ([1.0, 2.0, 3.0], [5.0, 5.0, 5.0])),
):
    checks.assert_raises("ValueError", spearman, *pair, label=label, hint="there is no order to compare")
### END HIDDEN TESTS

# %% [markdown]
# ### What agrees with what
#
# Three questions to the measurement. Does it depend on the width? On the text? And could you have had it for free,
# from the weights alone?


# %%
def in_order(values: dict[str, float]) -> list[float]:
    return [values[name] for name in layers]


validation = data.tensors(data.prose()["validation"])["input_ids"]
weight_error = {
    name: float((on_grid(layer.weight, 3) - layer.weight.detach()).square().sum())
    for name, layer in ops.linear_layers(model, skip=("lm_head",)).items()
}
others = {
    "2 bits, same text": sensitivity[2],
    "4 bits, same text": sensitivity[4],
    "3 bits, one block": layer_sensitivity(model, layers, [{"input_ids": train[8:9]}], 3, on_grid),
    "3 bits, validation": layer_sensitivity(model, layers, [{"input_ids": validation[:8]}], 3, on_grid),
    "squared weight error": weight_error,
}
for label, values in others.items():
    print(f"3 bits, 8 blocks against {label:22s} {spearman(in_order(sensitivity[3]), in_order(values)):.3f}")

# %% [markdown]
# One block of 128 tokens already gives nearly the order of eight. The squared error of the weights does not: it grows
# with the size of a layer and knows nothing of what the model does with it.
#
# ## Measure
#
# All layers at three bits, and then eight of them put back to eight bits: the most sensitive, the least sensitive,
# and eight drawn at random. If the ranking means anything, the order of the perplexities is clear beforehand. The
# bytes count codes, a float16 scale and an 8-bit zero-point for each group of 64, and everything else in float16.


# %%
def mixed(widths: dict[str, int]) -> evaluation.Entry:
    """The model with each named layer on a grid of its width, and the bytes that this takes."""
    changed = copy.deepcopy(model)
    stored = 2 * evaluation.parameter_count(model)
    with torch.no_grad():
        for name, bits in widths.items():
            weight = changed.get_submodule(name).weight
            weight.copy_(on_grid(weight, bits))
            stored += int(weight.numel() * (bits + 24 / GROUP - 16) / 8)
    return evaluation.Entry(changed, stored_bytes=stored)


drawn = [
    layers[index] for index in torch.randperm(28, generator=torch.Generator().manual_seed(0))[:8].tolist()
]
chosen = {"most sensitive": ranking[:8], "drawn at random": drawn, "least sensitive": ranking[-8:]}
models = {"float32": model, "3 bits": mixed(dict.fromkeys(layers, 3))}
for label, names in chosen.items():
    models[f"8 {label}"] = mixed({name: 8 if name in names else 3 for name in layers})
table = evaluation.report(models, {"input_ids": validation[::5]}, repeats=5)
print(evaluation.show(table[["bytes", "times smaller", "bits a weight", "perplexity", "recovery"]]))

# %% [markdown]
# At three bits the model keeps 0.89 of its quality. Eight layers back at eight bits bring it to 0.97 if they are
# the right ones and leave it at 0.89 if they are the least sensitive. The comparison is not at equal size: the sensitive layers
# happen to be larger than the insensitive ones, which notebook 03 puts right.
#
# The sum of the parts is a prediction as well. If layers spoiled the output independently, the divergence of a model
# with several quantized layers would be the sum of their own divergences.

# %%
reference = evaluation.logits(model, {"input_ids": train[:8]})
for bits in (4, 3, 2):
    together = kl_divergence(
        reference, evaluation.logits(mixed(dict.fromkeys(layers, bits)).model, {"input_ids": train[:8]})
    )
    total = sum(sensitivity[bits].values())
    print(f"{bits} bits   sum of 28 divergences {total:.4f}   all 28 at once {together:.4f}")

# %% [markdown]
# ## What goes wrong
#
# - **Layers left quantized.** The second layer is then measured on top of the first, and the curve of the plot climbs
#   from left to right. `bits=None` shows it when it is called after another width: it must give 0.
# - **The divergence the wrong way round**, with a small constant inside the logarithm. The ranking stays nearly the same,
#   so nothing looks wrong, but the values are capped and no longer add up.
# - **Perplexity in place of divergence.** It needs the next token as a label, and a layer can seem to help by
#   luck: on these eight blocks, 10 of the 28 layers lower the loss when they are quantized to four bits. The changes in
#   loss rank the layers no better than the weight error does (0.35 against the order by KL).


# %%
def text_loss(network: nn.Module, tokens: Tensor) -> float:
    logits = evaluation.logits(network, {"input_ids": tokens})
    return float(nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()))


full_loss = text_loss(model, train[:8])
change = {name: text_loss(mixed({name: 4}).model, train[:8]) - full_loss for name in layers}
helped = [name for name in layers if change[name] < 0]
print(f"{len(helped)} of 28 layers lower the loss when quantized to 4 bits; smallest KL of these: ", end="")
print(f"{min(sensitivity[4][name] for name in helped):.6f}" if helped else "none")
print(
    f"rank correlation of the change in loss with KL: {spearman(in_order(change), in_order(sensitivity[4])):.3f}"
)

# %% [markdown] nbgrader={"grade_id": "question_sensitivity_task", "solution": false, "grade": false, "locked": true, "points": 0, "schema_version": 3, "task": true}
# ## Question (8 points, graded by hand)
#
# Your company wants to ship this model at an average of 2.5 bits, and a colleague proposes to add up the divergences of this
# notebook to predict how much each plan will hurt.
#
# 1. How far does the sum predict the whole, at four, three and two bits? Use the printed lines, say why the agreement
#    changes with the width, and what this means for the colleague's plan.
# 2. The colleague measured on one block of training text to save time. Repeat that for at least five different single
#    blocks, compare the rankings with that of eight blocks, and say how many blocks you would pay for and why.
# 3. Name one decision that you would not base on this ranking, with the measurement that would settle it.
#
# About 200 words. Cite numbers from your own cells.
#
# ### BEGIN MARK SCHEME
# - 3 points, additivity: the printed pairs (0.021 and 0.022; 0.098 and 0.122; 0.60 and 1.08, give or take the last
#   digit). 1 for a cause: for small errors the divergence is a sum of squares and the errors of different layers are nearly
#   uncorrelated, at two bits later layers work on inputs that earlier ones have already bent, and second-order terms no
#   longer describe it. 1 for the consequence: at 2.5 bits the plan's sum is an underestimate (the cheapest plan by these divergences: sum 0.173, measured
#   0.228); it may still rank plans, but the chosen plan must be measured as a whole.
# - 3 points, cost: rank correlations of at least five single blocks with eight blocks (about 0.97 to 0.99; two blocks
#   0.97 to 0.99, four 0.99 or more), and a decision with a reason. One block is a defensible answer if the student
#   shows that the allocation does not depend on the swaps that remain; "as many as possible" earns at most 1. Choosing
#   by blocks of test or validation data that are reported afterwards earns 0 here.
# - 2 points, limits: one decision and its measurement. Examples: which of two layers next to each other in the ranking
#   gets the bit (repeat over draws of text); quantizing activations, which was not measured; another language or
#   a text without speeches (measure there); equal bytes, because the ranking is per layer and layers differ in size.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade_id": "question_sensitivity", "solution": true, "grade": true, "locked": false, "points": 8, "schema_version": 3, "task": false}
# ### BEGIN SOLUTION
# The sum predicts well at four bits (0.0210 against 0.0217 for all layers at once), less at three (0.098 against 0.122)
# and badly at two (0.60 against 1.08). Small errors add like squares of independent noise; at two bits the later
# layers get inputs that are already bent, so they err where they were not measured. At 2.5 bits the colleague's
# sum would promise too little damage. I would use it to rank plans and measure the winner as a whole.
#
# Eight single blocks gave rank correlations from 0.970 to 0.991 with eight blocks, pairs 0.973 to 0.992, fours 0.990 to 0.996.
# Of the 14 most sensitive layers by eight blocks a single block names 12 to 14, of the first seven 6 or 7. One block is
# enough to tell the first block's layers from the rest; I would pay for four, half a second a width here, because a
# budget is decided by neighbours.
#
# I would not decide between the 14th and the 15th layer of the ranking with it: in seven of eight single blocks some layer
# crossed that line. Ten draws of eight blocks, with the standard error of the difference, would settle it.
# ### END SOLUTION

# %% [markdown]
# ## At full size
#
# The same call on the published checkpoint: the seven layers of its first block, with one row of 128 tokens. Where its
# weights or a GPU are missing, the cell says so in one line.

# %%
try:
    full = zoo.load("llama", profile="full")
    tokenizer = zoo.tokenizer("llama", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    rows = data.tensors(data.prose()["validation"].select(range(1)), tokenizer=tokenizer, limit=1)
    device = next(full.parameters()).device
    names = [name for name in ops.linear_layers(full) if ".layers.0." in name]
    full_batches = [{"input_ids": rows["input_ids"].to(device)}]
    for name, value in layer_sensitivity(full, names, full_batches, 3, on_grid).items():
        print(f"{name:40s} {value:.5f}")

# %% [markdown]
# ## Further reading
#
# - Cai et al. 2020 (arXiv 2001.00281): the same measure on images made from the network's own statistics.
# - Dong et al. 2019 (arXiv 1905.03696): curvature instead of a run a layer; notebook 02 follows its successor.
# - Nahshan et al. 2019 (arXiv 1911.07190): where the assumption that layers add up breaks, drawn as a landscape.
