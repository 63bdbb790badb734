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
# # Channel pruning
#
# You take hidden channels out of a vision Transformer's feed-forward blocks, so that the matrices themselves get
# smaller, and you count what that saves.
#
# | | |
# |---|---|
# | You will be able to | score hidden channels with and without data, remove them exactly, and state the saving in closed form |
# | Time | about 75 minutes |
# | Points | 23 of the lab's 100, all autograded |
# | You need | linear layers, GELU and gradients in PyTorch; what a Transformer block consists of |
# | Papers | Li et al. 2017 (arXiv 1608.08710); Molchanov et al. 2017 (arXiv 1611.06440); Hendrycks and Gimpel 2016, GELU (arXiv 1606.08415); Dosovitskiy et al. 2021, ViT (arXiv 2010.11929) |

# %% [markdown] lang="zh-TW"
# # 通道剪枝
#
# 你會把視覺 Transformer 前饋區塊中的隱藏通道真正移除，讓矩陣本身變小，並算出省下了多少。
#
# | | |
# |---|---|
# | 完成後你能 | 用資料與不用資料為隱藏通道評分、精確地移除它們，並以封閉公式說出節省量 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 23 分，全部自動評分 |
# | 先備知識 | PyTorch 的線性層、GELU 與梯度；Transformer 區塊的組成 |
# | 論文 | Li et al. 2017 (arXiv 1608.08710)；Molchanov et al. 2017 (arXiv 1611.06440)；Hendrycks and Gimpel 2016, GELU (arXiv 1606.08415)；Dosovitskiy et al. 2021, ViT (arXiv 2010.11929) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
from collections.abc import Mapping

import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=361)
model = zoo.load("vit").eval()
train = data.tensors(data.fashion()["train"])
PAIRS = [(f"vit.layers.{i}.mlp.fc1", f"vit.layers.{i}.mlp.fc2") for i in range(6)]


def slopes(model: nn.Module, rows: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """What each fc2 was given, (examples, tokens, 256), and each example's own loss differentiated by it."""
    kept: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(down).register_forward_pre_hook(lambda _, x, name=down: kept.update({name: x[0]}))
        for _, down in PAIRS
    ]
    summed = training.loss(model, rows) * len(rows["labels"])  # the mean over rows, back to the sum
    for hook in hooks:
        hook.remove()
    gradients = torch.autograd.grad(summed, list(kept.values()))
    return {name: (x.detach(), slope) for (name, x), slope in zip(kept.items(), gradients, strict=True)}


# %% [markdown]
# ## Why
#
# The tiny ViT holds 305,034 parameters, and 198,528 of them, 65%, are in the feed-forward blocks of its six layers: 64
# numbers a token become 256 hidden ones and 64 again. Setting single weights to zero leaves all of these matrices as
# large and as slow as before. Taking whole hidden channels out leaves a smaller matrix that any library multiplies
# faster. Which channels go matters: with the half that has the smallest weights removed, accuracy on the validation
# pictures falls from 0.844 to 0.635; with the half chosen by what the loss says about each channel, to 0.794. Nothing
# is trained afterwards in either case.

# %% [markdown]
# ## By hand
#
# A feed-forward block has two hidden channels. Its first layer has the rows (1, −2) and (0, 0) and the biases 0 and 1;
# its second layer reads the channels with the weights 3 and 5. For the input (2, 1), GELU gives:
#
# - channel 0: 1·2 − 2·1 + 0 = 0, GELU(0) = 0, times 3 gives 0
# - channel 1: 0·2 + 0·1 + 1 = 1, GELU(1) = 0.841, times 5 gives 4.207
#
# The output is their sum, 4.207. Now remove channel 1. Zeroing its row in the first layer changes nothing here: the
# row is zero already, and the output stays 4.207. The channel speaks through its bias. Zero the bias too, and GELU(0) =
# 0 silences it: the output is 0, the same as if row 1, bias 1 and column 1 of the second layer did not exist.

# %% [markdown]
# ## Formula
#
# $$ y = b_2 + \sum_{c=1}^{C} W_2[:, c]\ \phi\!\left(W_1[c, :]\,x + b_1[c]\right) $$
#
# - $x$, $y$: a token before and after the block, (width,); $C$: hidden channels
# - $W_1$ (inner, width), $b_1$ (inner,): the first layer; $W_2$ (width, inner), $b_2$ (width,): the second
# - $\phi$: GELU, with $\phi(0) = 0$
#
# The output is a sum over channels. Removing channel $c$ removes one term: row $c$ of $W_1$, entry $c$ of $b_1$ and
# column $c$ of $W_2$. Nothing else in the network knows the channel.
#
# ## You write: the size of a channel's weights
#
# The oldest score needs no data: the sum of absolute weights that make the channel (Li et al. 2017, section 3.1),
# $\sum_j |W_1[c, j]|$.

# %% nbgrader={"grade_id": "l1_channel_scores", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.channels import l1_channel_scores

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_l1_channel_scores", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
checks.assert_close(
    l1_channel_scores(torch.tensor([[1.0, -2.0, 0.5], [-3.0, 0.0, -1.0]])),
    [3.5, 4.0],
    "sizes of two channels",
    atol=1e-6,
    hint="one number a row: absolute values first, then the sum over the row's entries",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("l1")
weight = torch.randn(9, 6, generator=generator)
checks.assert_close(
    l1_channel_scores(weight),
    weight.double().abs().sum(1),
    "sizes of other channels",
    rtol=1e-5,
    hint="the sum of absolute weights of each row; squares or a maximum give another order",
)
checks.assert_close(
    l1_channel_scores(1e-6 * weight[:, :1]),
    1e-6 * weight[:, 0].double().abs(),
    "sizes of tiny weights",
    rtol=1e-5,
    hint="neither normalise the scores nor add a small constant",
)
square = torch.randn(6, 6, generator=generator)
checks.assert_close(
    l1_channel_scores(square),
    square.double().abs().sum(1),
    "sizes with as many channels as inputs",
    rtol=1e-5,
    hint="a channel is a row of the first layer's weight, whatever its shape",
)
checks.assert_raises(
    "ValueError",
    l1_channel_scores,
    weight[0],
    label="a weight of one dimension",
    hint="(inner,) is a bias: say so instead of returning one number",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: what the loss says
#
# The second score asks the loss. To first order, setting channel $c$ to zero changes the loss of example $n$ by
# $-\sum_t \frac{\partial \ell_n}{\partial a_{ntc}}\,a_{ntc}$. The score is the mean size of that change (Molchanov et
# al. 2017, equation 8):
#
# $$ \Theta_c = \frac{1}{N} \sum_{n=1}^{N} \left|\, \sum_{t=1}^{T} a_{ntc}\, \frac{\partial \ell_n}{\partial a_{ntc}} \right| $$
#
# - $a_{ntc}$: `activations`, what the second layer is given for example $n$, token $t$, channel $c$
# - $\partial \ell_n / \partial a_{ntc}$: `gradients`, of the example's own loss
#
# Where the absolute value stands is the whole point. By hand: one channel, two examples of two tokens, with products
# 0.3 and −0.1 in the first, −0.2 and 0 in the second. The sums over tokens are 0.2 and −0.2, the score is (0.2 + 0.2)/2
# = 0.2. Taking the absolute value of each token instead gives 0.3. Taking it at the very end gives 0: a channel that
# helps one half of the examples and hurts the other would look useless.

# %% nbgrader={"grade_id": "taylor_channel_scores", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.channels import taylor_channel_scores

# %% [markdown]
# ### Check
#
# The last check takes your scores of all six blocks, removes the lower half of each block's channels, and measures the
# accuracy on pictures that you do not have. Channels drawn by lot reach about 0.67 there, the smallest weights 0.62.

# %% nbgrader={"grade_id": "test_taylor_channel_scores", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
activations = torch.tensor([[[1.0, 2.0], [2.0, 0.0]], [[1.0, -1.0], [1.0, 1.0]]])
gradients = torch.tensor([[[0.1, 0.5], [0.1, 3.0]], [[-0.3, 0.2], [0.0, -0.6]]])
checks.assert_close(
    taylor_channel_scores(activations, gradients),
    [0.3, 0.9],
    "scores of two channels",
    atol=1e-6,
    hint="channel 0: sums over tokens 0.3 and -0.3, mean of their sizes 0.3; 0 means the sign is lost too late",
)
### BEGIN HIDDEN TESTS
from heldout import fashion as test_split
from reference_impl.pruning.channels import prune_ffn as expected_prune

generator = checks.hidden_generator("taylor")
x, slope = (torch.randn(7, 5, 11, generator=generator) for _ in range(2))
checks.assert_close(
    taylor_channel_scores(x, slope),
    (x.double() * slope.double()).sum(1).abs().mean(0),
    "scores of eleven channels",
    rtol=1e-4,
    atol=1e-6,
    hint="per example: sum over tokens, then the absolute value, then the mean over examples",
)
checks.assert_close(
    taylor_channel_scores(x[:, :1], slope[:, :1]),
    (x[:, 0] * slope[:, 0]).double().abs().mean(0),
    "scores with one token",
    rtol=1e-4,
    atol=1e-6,
    hint="do not divide by the number of tokens minus one, and keep the channels apart",
)
checks.assert_close(
    taylor_channel_scores(torch.cat([x, x]), torch.cat([slope, -slope])),
    (x.double() * slope.double()).sum(1).abs().mean(0),
    "scores when each example comes with its opposite",
    rtol=1e-4,
    atol=1e-6,
    hint="the absolute value stands inside the mean over examples",
)
doubled = torch.cat([x, x], dim=1), torch.cat([slope, slope], dim=1)
checks.assert_close(
    taylor_channel_scores(*doubled),
    2 * (x.double() * slope.double()).sum(1).abs().mean(0),
    "scores with every token twice",
    rtol=1e-4,
    atol=1e-6,
    hint="a sum over tokens, not a mean: the loss loses the channel at all of them",
)
for label, wrong in (("shapes that differ", slope[:1]), ("two dimensions", None)):
    checks.assert_raises(
        "ValueError",
        taylor_channel_scores,
        x if wrong is not None else x[0],
        slope[0] if wrong is None else wrong,
        label=label,
        hint="(7, 5, 11) and (1, 5, 11) broadcast without a word: compare the shapes, and ask for three dimensions",
    )
drawn = torch.randperm(len(train["labels"]), generator=generator)[:512]
caught = slopes(model, {key: value[drawn] for key, value in train.items()})
kept = [taylor_channel_scores(*caught[down]).topk(128).indices.tolist() for _, down in PAIRS]
checks.assert_at_least(
    evaluation.quality(expected_prune(model, PAIRS, kept), data.tensors(test_split()))[1],
    0.72,
    "accuracy with half of the channels",
    hint="the channels with the larger scores stay; channels by lot give about 0.67",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the smaller block
#
# `prune_ffn` cuts both matrices of each pair. Two mistakes survive a look at the shapes: cutting the second matrix in
# another order than the first, and dropping a bias that stays.
#
# <details><summary>Hint</summary>
# Which of the two biases has one entry for each hidden channel, and what is the other one for?
# </details>
# <details><summary>Hint</summary>
# `get_submodule(name)` finds a layer in a deep copy; an `nn.Linear` does not notice when you give it another
# `nn.Parameter`, but its `in_features` and `out_features` are plain numbers that you have to set.
# </details>

# %% nbgrader={"grade_id": "prune_ffn", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.channels import prune_ffn

# %% [markdown]
# ### Check
#
# The first check cuts the example by hand. The hidden ones compare the smaller network with the larger one in which the
# same channels are silenced in row and bias: the outputs must agree to a millionth.


# %% nbgrader={"grade_id": "test_prune_ffn", "solution": false, "grade": true, "locked": true, "points": 7, "schema_version": 3, "task": false}
@probe
def pruned_network(prune_ffn, state, x, keep, biased=True, frozen=False, cut=(0, 1)):
    import copy

    import torch
    from torch import nn

    inner = state["blocks.0.up.weight"].shape[0]

    class Block(nn.Module):
        def __init__(self, bias):
            super().__init__()
            self.up = nn.Linear(x.shape[-1], inner, bias=bias)
            self.drop = nn.Dropout(0.5)
            self.down = nn.Linear(inner, x.shape[-1])

        def forward(self, x):
            return x + self.down(self.drop(nn.functional.gelu(self.up(x))))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block(True), Block(biased)])
            self.head = nn.Linear(x.shape[-1], 2)

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    fresh = Net().to(x.dtype)
    fresh.load_state_dict(state)
    if frozen:
        fresh.blocks[0].up.weight.requires_grad_(False)
    modes, shapes = [], {}
    pairs = [(f"blocks.{i}.up", f"blocks.{i}.down") for i in cut]
    for mode in (True, False):
        net = copy.deepcopy(fresh).train(mode)
        pruned = prune_ffn(net, pairs, keep)
        modes += [pruned.training, pruned.blocks[0].drop.training]
    for name, layer in pruned.named_modules():
        if isinstance(layer, nn.Linear):
            shapes[name] = [layer.in_features, layer.out_features, *layer.weight.shape]
    output = pruned(x).detach()
    return {
        "output": output,
        "state": {key: value.detach().clone() for key, value in pruned.state_dict().items()},
        "shapes": shapes,
        "modes": modes,
        "dtypes": [str(value.dtype) for value in pruned.state_dict().values()],
        "free": [p.requires_grad and isinstance(p, nn.Parameter) for p in pruned.parameters()],
        "original": {key: value.clone() for key, value in net.state_dict().items()},
        "original_shapes": [[layer.in_features, layer.out_features] for layer in net.blocks[0].children()
                            if isinstance(layer, nn.Linear)],
    }  # fmt: skip


by_hand = {
    "blocks.0.up.weight": torch.tensor([[1.0, -2.0], [0.0, 0.0]]),
    "blocks.0.up.bias": torch.tensor([0.0, 1.0]),
    "blocks.0.down.weight": torch.tensor([[3.0, 5.0], [0.0, 0.0]]),
    "blocks.0.down.bias": torch.tensor([0.25, 0.5]),
}
by_hand |= {key.replace("0", "1"): torch.zeros_like(value) for key, value in by_hand.items()}
by_hand |= {"head.weight": torch.eye(2), "head.bias": torch.zeros(2)}
evidence = pruned_network(prune_ffn, by_hand, torch.tensor([[2.0, 1.0]]), [[0], [0]])
checks.assert_equal(
    evidence["shapes"]["blocks.0.up"] + evidence["shapes"]["blocks.0.down"],
    [2, 1, 1, 2, 1, 2, 2, 1],
    "sizes of the two layers",
    hint="in_features, out_features and the weight's shape of the first, then of the second: one channel is left",
)
checks.assert_close(
    evidence["output"],
    [[2.25, 1.5]],
    "output of the example by hand",
    atol=1e-5,
    hint="channel 0 gives 0, the token (2, 1) is added and so is the second layer's bias (0.25, 0.5), which stays whole",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("prune_ffn")
width, inner = 5, 8
original = {
    "blocks.0.up.weight": torch.randn(inner, width, generator=generator),
    "blocks.0.up.bias": torch.randn(inner, generator=generator),
    "blocks.0.down.weight": torch.randn(width, inner, generator=generator),
    "blocks.0.down.bias": torch.randn(width, generator=generator),
}
original |= {
    key.replace("blocks.0", "blocks.1"): torch.randn(value.shape, generator=generator)
    for key, value in list(original.items())
}
original |= {"head.weight": torch.randn(2, width, generator=generator), "head.bias": torch.randn(2)}
x = torch.randn(6, width, generator=generator)


def silenced(state, x, keep):
    """The larger network with the other channels' terms left out."""
    x = x.double()
    for i, kept in enumerate(keep):
        mask = torch.zeros(len(state[f"blocks.{i}.up.weight"]), dtype=torch.float64)
        mask[kept] = 1
        up = state[f"blocks.{i}.up.weight"].double() * mask[:, None]
        bias = state.get(f"blocks.{i}.up.bias", torch.zeros(len(mask))).double() * mask
        hidden = nn.functional.gelu(x @ up.T + bias)
        x = x + hidden @ state[f"blocks.{i}.down.weight"].double().T + state[f"blocks.{i}.down.bias"].double()
    return x @ state["head.weight"].double().T + state["head.bias"].double()


order = torch.randperm(inner, generator=generator).tolist()
for label, keep in (
    ("ascending channels", [sorted(order[:4]), sorted(order[3:6])]),
    ("channels in any order", [sorted(order[:4])[::-1], order[2:7]]),
):
    evidence = pruned_network(prune_ffn, original, x, keep)
    checks.assert_close(
        evidence["output"],
        silenced(original, x, keep),
        f"smaller against silenced network, {label}",
        atol=1e-4,
        rtol=1e-4,
        hint="the same channels from W1's rows, b1's entries and W2's columns; the second bias stays whole",
    )
    kept = sorted(keep[0])
    checks.assert_equal(
        evidence["state"]["blocks.0.up.weight"],
        original["blocks.0.up.weight"][kept],
        f"rows of the first layer, {label}",
        hint="the copy has the channels in ascending order",
    )
    checks.assert_equal(
        evidence["state"]["blocks.0.down.weight"],
        original["blocks.0.down.weight"][:, kept],
        f"columns of the second layer, {label}",
        hint="the copy has the channels in ascending order",
    )
checks.assert_equal(
    evidence["modes"],
    [True, True, False, False],
    "modes of the copies",
    hint="a copy of a network in train mode is in train mode, layer by layer",
)
for key, value in original.items():
    checks.assert_equal(evidence["original"][key], value, f"original {key}", hint="prune a deep copy")
checks.assert_equal(
    evidence["original_shapes"], [[width, inner], [inner, width]], "original sizes", hint="prune a deep copy"
)
only_second = pruned_network(prune_ffn, original, x, [order[:3]], cut=(1,))
checks.assert_equal(
    only_second["shapes"]["blocks.0.up"] + only_second["shapes"]["blocks.1.down"],
    [width, inner, inner, width, 3, width, width, 3],
    "sizes when the second block alone is cut",
    hint="only the named pairs; set in_features and out_features of both layers",
)
plain = {key: 1.1 * value.double() for key, value in original.items() if key != "blocks.1.up.bias"}
evidence = pruned_network(prune_ffn, plain, x.double(), keep, biased=False, frozen=True)
checks.assert_close(
    evidence["output"],
    silenced(plain, x, keep),
    "a block whose first layer has no bias",
    atol=1e-9,
    hint="a layer without a bias stays without",
)
checks.assert_equal(
    sorted(set(evidence["dtypes"])), ["torch.float64"], "dtypes of a float64 network", hint="keep the dtype"
)
checks.assert_equal(
    evidence["free"],
    [False] + [True] * 8,
    "which parameters are trainable",
    hint="requires_grad as before: one weight was frozen, all others train after pruning too",
)
for label, keep in (
    ("no channel", [[], [1]]),
    ("a channel twice", [[1, 1], [0]]),
    ("a channel that does not exist", [[inner], [0]]),
    ("a negative channel", [[-1], [0]]),
    ("one list for two pairs", [[0]]),
):
    checks.assert_raises(
        "ValueError",
        pruned_network,
        prune_ffn,
        original,
        x,
        keep,
        label=label,
        hint="raise ValueError before anything is cut",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Three ways to silence a channel
#
# The example by hand on the trained model: half of the channels of every block are silenced in the first layer's rows
# only, in rows and biases, and removed.

# %%
caught = slopes(model, {key: value[:256] for key, value in train.items()})
scores = {down: taylor_channel_scores(*caught[down]) for _, down in PAIRS}
keep = [scores[down].topk(128).indices.sort().values.tolist() for _, down in PAIRS]
validation = data.tensors(data.fashion()["validation"])


def masked(keep: list[list[int]], bias_too: bool) -> nn.Module:
    """A copy of full size in which the first layers' other rows are 0, and their biases if asked."""
    copied = copy.deepcopy(model)
    for (up, _), kept in zip(PAIRS, keep, strict=True):
        layer: nn.Linear = copied.get_submodule(up)
        gone = [c for c in range(256) if c not in kept]
        layer.weight.data[gone] = 0.0
        if bias_too:
            layer.bias.data[gone] = 0.0
    return copied


removed = prune_ffn(model, PAIRS, keep)
wanted = evaluation.logits(removed, validation)
for label, bias_too in (("rows", False), ("rows and biases", True)):
    got = evaluation.logits(masked(keep, bias_too), validation)
    print(f"{label:16s} zero: largest distance to the smaller model {float((got - wanted).abs().max()):.6f}")

# %% [markdown]
# With the biases left, a silenced channel still sends GELU(b) to every token, and some logits are off by 0.1: this
# model's biases are small, so it shows in the digits and hardly in the accuracy. With the biases zero too, the two
# networks agree to float32's rounding.
#
# ## You write: what it saves
#
# Parameters and work follow from three widths. `attention` is written apart from `width` because the next notebook
# removes heads.

# %% nbgrader={"grade_id": "block_params", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.costs import block_params

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_block_params", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
checks.assert_equal(
    block_params(64, 64, 256),
    49984,
    "parameters of one block of the ViT",
    hint="four projections and two layers with a bias each, and two norms of 2 x 64",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("block_params")
for _ in range(3):
    width, attention, inner = torch.randint(3, 90, (3,), generator=generator).tolist()
    layers = [nn.Linear(width, attention, device="meta") for _ in range(3)]
    layers += [
        nn.Linear(attention, width, device="meta"),
        nn.Linear(width, inner, device="meta"),
        nn.Linear(inner, width, device="meta"),
    ]
    layers += [nn.LayerNorm(width, device="meta") for _ in range(2)]
    checks.assert_equal(
        block_params(width, attention, inner),
        sum(p.numel() for layer in layers for p in layer.parameters()),
        "parameters of other widths",
        hint="attention differs from width: query, key and value have attention biases each, the output has width",
    )
### END HIDDEN TESTS

# %% [markdown]
# Multiply-accumulates count work: one for each product that enters a sum. A linear layer needs in · out of them a token.
# Attention multiplies twice more without any parameter: every query with every key, and every attention weight with a
# value, $T^2$ pairs of tokens with `attention` products each.

# %% nbgrader={"grade_id": "block_macs", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.costs import block_macs

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_block_macs", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
checks.assert_equal(
    block_macs(2, 3, 4, 5),
    188,
    "work of a tiny block",
    hint="two tokens: 2 x (4 x 12 + 2 x 15) = 156 in linear layers and 2 x 4 x 4 = 32 inside attention",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("block_macs")
for _ in range(3):
    tokens, width, attention, inner = torch.randint(2, 40, (4,), generator=generator).tolist()
    with torch.device("meta"):
        made = [nn.Linear(width, attention) for _ in range(3)] + [nn.Linear(attention, width)]
        made += [nn.Linear(width, inner), nn.Linear(inner, width)]
    linear = sum(tokens * layer.weight.numel() for layer in made)
    between = tokens * tokens * attention
    checks.assert_equal(
        block_macs(tokens, width, attention, inner),
        linear + between + between,
        "work of other blocks",
        hint="the products inside attention grow with the square of the tokens and with attention, not with width",
    )
whole_model = 16 * 49 * 64 + 64 * 10 + 6 * block_macs(17, 64, 64, 256)
checks.assert_equal(
    whole_model,
    evaluation.macs(model, {"pixel_values": torch.zeros(1, 1, 28, 28)}),
    "work of the ViT, counted while it runs",
    hint="six blocks of 17 tokens, plus patches and classifier",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# Four ways to choose, from all channels down to an eighth: your two scores, the lot, and the Taylor score upside down.
# Where will "smallest weights first" lie, above or below the lot?

# %%
shares = [1.0, 0.75, 0.5, 0.375, 0.25, 0.125]
lot = torch.Generator().manual_seed(0)
criteria = {
    "Taylor": [scores[down] for _, down in PAIRS],
    "weights (L1)": [l1_channel_scores(model.get_submodule(up).weight) for up, _ in PAIRS],
    "by lot": [torch.rand(256, generator=lot) for _ in PAIRS],
    "Taylor reversed": [-scores[down] for _, down in PAIRS],
}
by_share: dict[str, list[float]] = {}
for name, values in criteria.items():
    by_share[name] = []
    for share in shares:
        kept = [value.topk(round(256 * share)).indices.tolist() for value in values]
        by_share[name].append(evaluation.quality(prune_ffn(model, PAIRS, kept), validation)[1])
    print(
        f"{name:16s}",
        "  ".join(f"{share:.3f}: {acc:.3f}" for share, acc in zip(shares, by_share[name], strict=True)),
    )
figure = plots.lines(
    shares,
    by_share,
    x_label="share of hidden channels that stay",
    y_label="accuracy (validation, no training)",
    alt="Accuracy against the share of hidden channels kept. The Taylor line stays highest and loses little down to a "
    "half. The lines for L1 weights and for channels drawn by lot lie close together below it. The reversed Taylor "
    "line falls at once.",
)
plots.show(figure)

# %% [markdown]
# The Taylor score keeps 0.794 with half of the channels. The smallest weights do no better than the lot on this model:
# 0.635 against 0.667 at a half. A channel with small incoming weights may still have a large bias, or large outgoing
# weights, or sit where the loss is sensitive; the score sees none of that. A quarter of a second of gradients does.

# %% [markdown]
# ## Measure

# %%
quarter = [scores[down].topk(64).indices.tolist() for _, down in PAIRS]
models = {
    "all channels": model,
    "half, masked": masked(keep, bias_too=True),
    "half, removed": removed,
    "quarter, removed": prune_ffn(model, PAIRS, quarter),
}
table = evaluation.report(models, validation, latency_rows=64, repeats=5)
print(evaluation.show(table.drop(columns=["bits a weight", "latency spread (ms)"])))
for name, inner in (("all", 256), ("half", 128), ("quarter", 64)):
    blocks = 6 * block_params(64, 64, inner), 6 * block_macs(17, 64, 64, inner)
    print(f"{name:8s} six blocks: {blocks[0]:,} parameters, {blocks[1]:,} MACs a row")

# %% [markdown]
# Compare the two rows of half the channels. Their accuracy is the same to the last digit, because they are the same
# function. The masked model has as many parameters, bytes and multiply-accumulates as the original; zeros are stored
# and multiplied like other numbers. The removed one has 1.48 times fewer parameters. Half of the channels in 65% of the
# parameters is a third of the model, and no more.

# %% [markdown]
# ## The residual width is different
#
# Why hidden channels, and not the 64 numbers that run through the whole network? Try it on the first block's norm:
# silence some channels of the residual stream, and compare the norm of all 64 numbers with the norm of those left.

# %%
norm = model.get_submodule("vit.layers.0.layernorm_before")
stream: dict[str, Tensor] = {}
handle = norm.register_forward_pre_hook(lambda _, x: stream.update(x=x[0].detach()))
evaluation.logits(model, {"pixel_values": validation["pixel_values"][:128]})
handle.remove()
order = torch.randperm(64, generator=lot).tolist()
for count in (1, 16, 32):
    left = sorted(order[count:])
    zeroed = stream["x"].clone()
    zeroed[..., order[:count]] = 0.0
    wide = norm(zeroed)[..., left].detach()
    shape, eps = (len(left),), norm.eps
    narrow = nn.functional.layer_norm(
        stream["x"][..., left], shape, norm.weight[left], norm.bias[left], eps
    ).detach()
    print(f"{count:2d} channels: relative difference {float((wide - narrow).norm() / narrow.norm()):.3f}")

# %% [markdown]
# A LayerNorm divides by the standard deviation of all its inputs. A zero still counts as one of 64 when the mean and
# the deviation are taken; a channel that is gone does not. One channel of 64 makes 1% of difference, half of them 42%.
# So a silenced residual channel and a removed one are two different functions, and besides, every block reads and writes this width: cutting it means cutting all of them at
# once. Notebook 04 finds out which layers hang together in this way.

# %% [markdown]
# ## What goes wrong
#
# - **Zero weights, bias left.** The channel still sends GELU(b). Nothing in the weights' sparsity shows it, and in this
#   model a comparison of accuracies does not either; a comparison of logits does.
# - **The second matrix in another order.** With `keep` from `topk`, which sorts by score, one matrix cut as it comes
#   and the other ascending: the shapes fit, the model runs, and the accuracy is that of a guess.
# - **Gradients of the mean loss.** They are 256 times smaller, all of them: the order is unharmed. The absolute value
#   after the mean over examples harms it.
# - **Comparing a masked model's time.** It multiplies the zeros. Its row in the table has the original's MACs.

# %% [markdown]
# ## At full size
#
# The published ViT-B/16 has 12 blocks of 768 and 3072. The same two calls halve its hidden channels by weights.

# %%
try:
    full = zoo.load("vit", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    names = [(f"vit.layers.{i}.mlp.fc1", f"vit.layers.{i}.mlp.fc2") for i in range(len(full.vit.layers))]
    by_weight = [l1_channel_scores(full.get_submodule(up).weight) for up, _ in names]
    smaller = prune_ffn(full, names, [s.topk(len(s) // 2).indices.tolist() for s in by_weight])
    counts = [evaluation.parameter_count(m) for m in (full, smaller)]
    print(f"{counts[0]:,} to {counts[1]:,} parameters, {counts[0] / counts[1]:.2f} times fewer")
    attention, inner = full.get_submodule("vit.layers.0.attention.q_proj").out_features, len(by_weight[0])
    work = [block_macs(197, attention, attention, channels) for channels in (inner, inner // 2)]
    print(f"MACs of a block with 197 tokens: {work[0]:,} to {work[1]:,}")

# %% [markdown]
# ## Further reading
#
# - Molchanov et al. 2017 (arXiv 1611.06440): the Taylor score, compared with an oracle that removes each channel for real.
# - Li et al. 2017 (arXiv 1608.08710): the weight score and what retraining repairs.
# - Chapter 3.2 of the textbook (`theory/3.2-Pruning_and_Sparsity.md`): where structured pruning stands among the others.
