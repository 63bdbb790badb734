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
# # Search space and supernet
#
# You number millions of subnets of one network, cut any of them out of its weights, and write the step that trains
# them all together.
#
# | | |
# |---|---|
# | You will be able to | describe a search space exactly, slice a subnet out of a supernet, and write the sandwich rule with in-place distillation |
# | Time | about 75 minutes |
# | Points | 24 of the lab's 100, all autograded |
# | You need | the parts of a Transformer layer; cross-entropy and the KL divergence; what `detach` does |
# | Papers | Yu et al. 2020, BigNAS (arXiv 2003.11142); Cai et al. 2020, Once-for-All (arXiv 1908.09791); Yu & Huang 2019, Universally Slimmable Networks (arXiv 1903.05134) |

# %% [markdown] lang="zh-TW"
# # 搜尋空間與超網路
#
# 你會為一個網路的數百萬個子網路編號、從它的權重切出任何一個，並寫出同時訓練所有子網路的步驟。
#
# | | |
# |---|---|
# | 完成後你能 | 精確描述搜尋空間、從超網路切出子網路，並寫出三明治規則與就地蒸餾 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 24 分，全部自動評分 |
# | 先備知識 | Transformer 層的各部分；交叉熵與 KL 散度；`detach` 的作用 |
# | 論文 | Yu et al. 2020, BigNAS (arXiv 2003.11142)；Cai et al. 2020, Once-for-All (arXiv 1908.09791)；Yu & Huang 2019, Universally Slimmable Networks (arXiv 1903.05134) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=381)
supernet = zoo.load("supernet")
pictures = {split: data.tensors(data.fashion()[split]) for split in ("train", "validation")}
SPACE = {"layers": 6, "heads": [1, 2, 3, 4], "ffn": [32, 64, 128, 256]}
LARGEST = {"heads": [4] * 6, "ffn": [256] * 6}
SMALLEST = {"heads": [1], "ffn": [32]}


def random_subnet(space: dict, generator: torch.Generator) -> dict[str, list[int]]:
    """A random subnet: first its depth, each equally likely, then heads and ffn of each of its layers."""

    def pick(values: list[int]) -> int:
        return values[int(torch.randint(len(values), (), generator=generator))]

    depth = int(torch.randint(1, space["layers"] + 1, (), generator=generator))
    return {part: [pick(space[part]) for _ in range(depth)] for part in ("heads", "ffn")}


def subnet_accuracy(network: nn.Module, subnet: dict[str, list[int]], rows: dict[str, Tensor]) -> float:
    """Accuracy of a subnet with the weights it has in the supernet: what it lacks is multiplied by zero."""
    with torch.no_grad():
        answers = network(rows["pixel_values"], **subnet).argmax(-1)
    return (answers == rows["labels"]).float().mean().item()


# %% [markdown]
# ## Why
#
# Labs 3.5 to 3.7 decided which weights of a network go. This lab asks which network should have been built: how many
# layers, how many heads in each, how wide each inner layer. Our picture classifier allows 1 to 6 layers, 1 to 4 heads
# and four inner widths in each: 17,895,696 different networks. Training one alone takes half a minute, all of them 17
# years. A supernet holds the weights of all of them at once, in a file of 618,428 bytes, and was trained in 97
# seconds. Its largest subnet names 83 of 100 validation pictures correctly, its smallest, 22 times smaller, 76.

# %% [markdown]
# ## By hand
#
# A smaller space first: at most 2 layers, a layer has 1 or 2 heads and 8, 16 or 32 inner channels. That makes $C = 2
# \cdot 3 = 6$ kinds of layer, 6 subnets with one layer and 36 with two.
#
# Give every kind a digit: place of its heads times 3, plus place of its inner width, places counted from 0.
#
# | | 8 | 16 | 32 |
# |---|---|---|---|
# | 1 head | 0 | 1 | 2 |
# | 2 heads | 3 | 4 | 5 |
#
# The subnets with one layer get the numbers 0 to 5. Those with two follow, in the order of the two-digit number in
# base 6 that their layers spell. Heads (2, 1) with inner widths (8, 32) spell the digits 3 and 2: $3 \cdot 6 + 2 =
# 20$, and 6 shallower subnets come before them: number 26. The last number is $6 + 36 - 1 = 41$.
#
# The weights of a subnet are a corner of those of the network. With heads of width 2, a layer with 2 heads has a
# query matrix of 4 rows; one head is its rows 0 and 1. The output projection reads the heads, so there it is
# *columns* 0 and 1. Its bias belongs to the residual stream, which every subnet has in full: it stays whole.

# %% [markdown]
# ## Formula
#
# A subnet $a$ has depth $d$, heads $h_1 \dots h_d$ and inner widths $f_1 \dots f_d$. Its weights $W_a$ are slices of
# the weights $W$ of the largest. One step of the sandwich rule (Yu et al. 2020, section 3.1) adds up
#
# $$ L = \mathrm{CE}\big(y, p\big) + \sum_{a \in \{a_{min}, a_1, \dots, a_n\}} \frac{1}{B} \sum_{b=1}^{B} \sum_c
# \bar p_{bc} \, (\log \bar p_{bc} - \log q^a_{bc}) $$
#
# - $p$: probabilities (B, classes) of the largest subnet; $\bar p$ the same numbers as a constant, without a gradient
# - $q^a$: probabilities of subnet $a$ on the same batch; $y$: the labels
# - $a_{min}$: the smallest subnet of the space; $a_1, \dots, a_n$: random ones
#
# The largest and the smallest are in every step: they are the edges of the sandwich. What lies between is drawn. Only
# the largest learns from labels; the others learn from its answers, which is in-place distillation.

# %% [markdown]
# ## You write: numbers for subnets
#
# Search algorithms need a subnet to be one thing that can be listed, counted, drawn and recognised. A number without
# gaps is all of that.
#
# <details><summary>Hint</summary>
# How many subnets have fewer than $d$ layers? Take that away first, in a loop over the depth, and what is left is a
# number with exactly $d$ digits, leading zeros included.
# </details>

# %% nbgrader={"grade_id": "encode", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.search_space import encode

# %% nbgrader={"grade_id": "decode", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.search_space import decode

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_encode_decode", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
small = {"layers": 2, "heads": [1, 2], "ffn": [8, 16, 32]}
checks.assert_equal(
    encode({"heads": [2], "ffn": [16]}, small),
    4,
    "number of a subnet with one layer",
    hint="heads at place 1, ffn at place 1: 1 * 3 + 1, and no shallower subnets",
)
checks.assert_equal(
    encode({"heads": [2, 1], "ffn": [8, 32]}, small),
    26,
    "number of the subnet worked out by hand",
    hint="digits 3 and 2 in base 6, and 6 subnets are shallower",
)
checks.assert_equal(
    decode(26, small), {"heads": [2, 1], "ffn": [8, 32]}, "subnet number 26", hint="the inverse of encode"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("encode_decode")
for layers, heads, ffn in ((3, 2, 2), (2, 1, 4), (3, 3, 1), (4, 1, 1)):
    space = {
        "layers": layers,
        "heads": (torch.randperm(9, generator=generator)[:heads] + 1).sort().values.tolist(),
        "ffn": (8 * torch.randperm(20, generator=generator)[:ffn] + 8).sort().values.tolist(),
    }
    case = f"{layers} layers, {heads} heads, {ffn} widths"
    kinds = [(count, inner) for count in space["heads"] for inner in space["ffn"]]
    number, previous = 0, [[]]
    for depth in range(1, layers + 1):
        previous = [[*before, kind] for before in previous for kind in kinds]
        for one in previous:
            if number % 7 in (0, 3) or one in (previous[0], previous[-1]):
                subnet = {"heads": [kind[0] for kind in one], "ffn": [kind[1] for kind in one]}
                checks.assert_equal(
                    encode(subnet, space),
                    number,
                    f"number of a subnet of depth {depth}, {case}",
                    hint="shallower ones first, the first layer's digit the most significant",
                )
                checks.assert_equal(
                    decode(number, space),
                    subnet,
                    f"subnet of a number at depth {depth}, {case}",
                    hint="leading zeros are layers too: the number of digits is the depth",
                )
            number += 1
    for wrong in (-1, number):
        checks.assert_raises(
            "ValueError",
            decode,
            wrong,
            space,
            label=f"number {wrong} of {number}, {case}",
            hint="numbers run from 0 to one less than there are subnets",
        )
last = sum(16**depth for depth in range(1, 7)) - 1
checks.assert_equal(
    [decode(last, SPACE), encode(LARGEST, SPACE)],
    [LARGEST, last],
    "the largest subnet of the lab's space",
    hint="it has the last number, 17,895,695",
)
for wrong, why in (
    ({"heads": [1, 1], "ffn": [32]}, "lists of different length"),
    ({"heads": [1] * 7, "ffn": [32] * 7}, "too many layers"),
    ({"heads": [], "ffn": []}, "no layer"),
    ({"heads": [5], "ffn": [32]}, "heads that the space lacks"),
    ({"heads": [1], "ffn": [48]}, "a width that the space lacks"),
):
    checks.assert_raises("ValueError", encode, wrong, SPACE, label=why, hint="raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the slice
#
# The names of the supernet's tensors are in the docstring; print `supernet.state_dict().keys()` if you want to see
# them.
#
# <details><summary>Hint</summary>
# For each of `q_proj`, `o_proj`, `fc1`, `fc2`: does its output get narrower, or its input? Which of the two do weight
# and bias follow?
# </details>

# %% nbgrader={"grade_id": "slice_subnet", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.supernet import slice_subnet

# %% [markdown]
# ### Check: the same answers
#
# `zoo.build("supernet", heads=..., ffn=...)` builds an untrained network of a subnet's own size. With your slices in
# it, it has to answer as the supernet does when everything outside the subnet is multiplied by zero.


# %% nbgrader={"grade_id": "test_slice_subnet", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def state_after(slice_subnet, state, subnet, head_size):
    import copy

    mine, wanted = {name: value.clone() for name, value in state.items()}, copy.deepcopy(subnet)
    for value in slice_subnet(mine, wanted, head_size).values():
        value.zero_()
    return {"state": mine, "subnet": wanted}


subnet = {"heads": [2, 1], "ffn": [64, 32]}
cut = slice_subnet(supernet.state_dict(), subnet, 16)
checks.assert_equal(
    cut["layers.0.q_proj.weight"],
    supernet.state_dict()["layers.0.q_proj.weight"][:32],
    "queries of 2 heads",
    hint="the first 2 * 16 rows",
)
checks.assert_shape(cut["layers.1.fc2.weight"], (64, 32), "fc2 of layer 1", hint="fc2 reads the channels")
checks.assert_equal(
    sorted({name.split(".")[1] for name in cut if name.startswith("layers.")}),
    ["0", "1"],
    "layers of a subnet of depth 2",
    hint="layers beyond the depth are left out",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("slice_subnet")
parts = {"image_size": 8, "patch_size": 4, "hidden_size": 10, "head_size": 3, "num_labels": 4}
whole = zoo.build("supernet", heads=[4] * 12, ffn=[7] * 12, **parts).eval()
with torch.no_grad():
    for value in whole.parameters():
        value.copy_(0.4 * torch.randn(value.shape, generator=generator))
shown = torch.randn(5, 1, 8, 8, generator=generator)
for depth in (1, 3, 12):
    subnet = {
        "heads": torch.randint(1, 5, (depth,), generator=generator).tolist(),
        "ffn": torch.randint(1, 8, (depth,), generator=generator).tolist(),
    }
    cut = slice_subnet(whole.state_dict(), subnet, 3)
    own = zoo.build("supernet", **subnet, **parts).eval()
    expected = {name: tuple(value.shape) for name, value in own.state_dict().items()}
    checks.assert_equal(
        {name: list(value.shape) for name, value in sorted(cut.items())},
        {name: list(shape) for name, shape in sorted(expected.items())},
        f"names and shapes, depth {depth}",
        hint="rows of q_proj, k_proj, v_proj, fc1; columns of o_proj, fc2; biases of o_proj and fc2 whole",
    )
    for name, value in cut.items():
        corner = whole.state_dict()[name][tuple(slice(size) for size in expected[name])]
        checks.assert_equal(
            value, corner, f"{name} at depth {depth}", hint="the first rows and columns, as they are"
        )
    own.load_state_dict(cut)
    with torch.no_grad():
        checks.assert_close(
            own(shown),
            whole(shown, **subnet),
            f"answers of the sliced network, depth {depth}",
            atol=1e-4,
            rtol=1e-4,
            hint="compare each slice with what the supernet keeps",
        )
    left = state_after(slice_subnet, whole.state_dict(), subnet, 3)
    for name, value in whole.state_dict().items():
        checks.assert_equal(
            left["state"][name],
            value,
            f"{name} of the supernet after writing to the slice",
            hint="a slice is a view: clone it",
        )
    checks.assert_equal(left["subnet"], subnet, "the subnet afterwards", hint="leave the argument as it is")
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the size in closed form
#
# A search asks for the size of thousands of candidates, so it must not build them.

# %% nbgrader={"grade_id": "count_params", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.supernet import count_params

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_count_params", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
sizes = {"width": 64, "head_size": 16, "patch": 49, "tokens": 16, "labels": 10}
checks.assert_equal(
    count_params(LARGEST, **sizes),
    evaluation.parameter_count(supernet),
    "parameters of the largest subnet",
    hint="the embedding, 16 positions, six layers, the last norm and the classifier, biases and norms included",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("count_params")
for number in range(6):
    depth = 1 + number
    subnet = {
        "heads": torch.randint(1, 5, (depth,), generator=generator).tolist(),
        "ffn": torch.randint(1, 40, (depth,), generator=generator).tolist(),
    }
    side, patch = 2 + number % 3, 3 + number % 2
    width, head_size, labels = (int(torch.randint(3, 9, (), generator=generator)) for _ in range(3))
    own = zoo.build(
        "supernet",
        image_size=side * patch,
        patch_size=patch,
        hidden_size=width,
        head_size=head_size,
        num_labels=labels,
        **subnet,
    )
    checks.assert_equal(
        count_params(subnet, width=width, head_size=head_size, patch=patch**2, tokens=side**2, labels=labels),
        evaluation.parameter_count(own),
        f"parameters of a subnet of depth {depth}",
        hint="each layer has its own heads and ffn; heads * head_size need not be the width",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the sandwich
#
# Call `backward()` for each subnet as soon as its loss is there: gradients add up in `.grad`, and the memory of one
# subnet is free before the next one runs.
#
# <details><summary>Hint</summary>
# Which of the two networks of a KL divergence should move towards the other? What keeps the other one still?
# </details>

# %% nbgrader={"grade_id": "sandwich_step", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.supernet import sandwich_step

# %% [markdown]
# ### Check: losses and gradients


# %% nbgrader={"grade_id": "test_sandwich_step", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def after_steps(sandwich_step, state, sizes, batch, space, others, times):
    from labkit import zoo

    network = zoo.build("supernet", **sizes).double()
    network.load_state_dict(state)
    values = []
    for _ in range(times):
        values = sandwich_step(network, batch, space, others)
    return {
        "values": values,
        "grads": {name: p.grad for name, p in network.named_parameters() if p.grad is not None},
        "state": network.state_dict(),
    }


def expected_step(
    network: nn.Module, batch: dict[str, Tensor], subnets: list[dict[str, list[int]]]
) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and gradients from the formula: the first of the subnets is the largest."""
    answers = network(batch["pixel_values"], **subnets[0])
    target = answers.detach().softmax(-1)
    parts = [-answers.log_softmax(-1)[torch.arange(len(answers)), batch["labels"]].mean()]
    for smaller in subnets[1:]:
        own = network(batch["pixel_values"], **smaller).softmax(-1)
        parts.append((target * (target / own).log()).sum() / len(own))
    grads = torch.autograd.grad(sum(parts), list(network.parameters()))
    names = [name for name, _ in network.named_parameters()]
    return [part.item() for part in parts], dict(zip(names, grads, strict=True))


torch.manual_seed(3)
sizes = {"image_size": 8, "patch_size": 4, "hidden_size": 8, "head_size": 2, "heads": [2, 2], "ffn": [6, 6]}
space = {"layers": 2, "heads": [1, 2], "ffn": [2, 6]}
network = zoo.build("supernet", num_labels=3, seed=5, **sizes).double()
batch = {"pixel_values": torch.randn(4, 1, 8, 8, dtype=torch.float64), "labels": torch.tensor([0, 1, 2, 1])}
edges = [{"heads": [2, 2], "ffn": [6, 6]}, {"heads": [1], "ffn": [2]}]
losses, grads = expected_step(network, batch, edges)
found = after_steps(sandwich_step, network.state_dict(), {**sizes, "num_labels": 3}, batch, space, [], 1)
checks.assert_close(
    found["values"][:1],
    losses[:1],
    "loss of the largest subnet",
    atol=1e-6,
    hint="the mean cross-entropy of the labels, all layers with the most heads and channels",
)
checks.assert_close(
    found["values"],
    losses,
    "losses of the largest and the smallest subnet",
    atol=1e-6,
    hint="the smallest has one layer; its loss is KL(largest || smallest), summed over classes, a mean over rows",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("sandwich_step")
sizes = {"image_size": 8, "patch_size": 4, "hidden_size": 8, "head_size": 2, "heads": [3] * 4, "ffn": [6] * 4}
for layers, rows_shown in ((3, 5), (4, 7)):
    space = {"layers": layers, "heads": [1, 2, 3], "ffn": [2, 3, 6]}
    network = zoo.build("supernet", num_labels=5, **sizes).double()
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(0.5 * torch.randn(value.shape, generator=generator, dtype=torch.float64))
    batch = {
        "pixel_values": torch.randn(rows_shown, 1, 8, 8, generator=generator, dtype=torch.float64),
        "labels": torch.randint(0, 5, (rows_shown,), generator=generator),
    }
    others = [random_subnet(space, generator) for _ in range(2)]
    subnets = [{"heads": [3] * layers, "ffn": [6] * layers}, {"heads": [1], "ffn": [2]}, *others]
    short = zoo.build(
        "supernet", num_labels=5, **{**sizes, "heads": [3] * layers, "ffn": [6] * layers}
    ).double()
    short.load_state_dict({name: v for name, v in network.state_dict().items() if name in short.state_dict()})
    losses, grads = expected_step(short, batch, subnets)
    for times in (1, 2):
        found = after_steps(
            sandwich_step, network.state_dict(), {**sizes, "num_labels": 5}, batch, space, others, times
        )
        checks.assert_close(
            found["values"],
            losses,
            f"losses of four subnets, {layers} layers",
            atol=1e-6,
            hint="largest, smallest, then the others in their order; the largest has the space's layers",
        )
        checks.assert_equal(
            sorted(name for name, grad in found["grads"].items() if grad.any()),
            sorted(grads),
            f"parameters with a gradient, {layers} layers",
            hint="every loss must send its gradient back",
        )
        for name, grad in grads.items():
            checks.assert_close(
                found["grads"][name],
                times * grad,
                f"gradient of {name} after {times} calls, {layers} layers",
                atol=1e-7,
                hint="the target is a constant (detach); gradients add to what is in .grad",
            )
    for name, value in network.state_dict().items():
        checks.assert_equal(
            found["state"][name], value, f"{name} after the call", hint="no optimizer step here"
        )
### END HIDDEN TESTS

# %% [markdown]
# ### Check: a small supernet after your steps
#
# The probe trains a new supernet of two layers with your function: AdamW, gradients clipped at norm 1, one random
# subnet a step. The hidden part takes 150 steps and measures the smallest subnet, one layer of (1, 32), on the test
# pictures.


# %% nbgrader={"grade_id": "test_sandwich_trained", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
@probe
def small_supernet(sandwich_step, space, others, seed):
    import torch
    from labkit import data, training, zoo

    network = zoo.build("supernet", seed=seed, heads=[4, 4], ffn=[256, 256]).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    chosen = training.batches(data.tensors(data.fashion()["train"]), 64, seed=seed)
    values = []
    for step, subnet in enumerate(others):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / len(others))
        optimizer.zero_grad()
        values = sandwich_step(network, next(chosen), space, [subnet])
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return {"values": values, "state": network.state_dict()}


two_layers = {"layers": 2, "heads": [1, 2, 3, 4], "ffn": [32, 64, 128, 256]}
found = small_supernet(sandwich_step, two_layers, [{"heads": [2], "ffn": [64]}] * 5, 0)
checks.assert_shape(
    torch.tensor(found["values"]), (3,), "losses of a step", hint="largest, smallest and one other subnet"
)
### BEGIN HIDDEN TESTS
from heldout import fashion as test_split

generator = checks.hidden_generator("sandwich_trained")
seed = int(torch.randint(100, 10_000, (), generator=generator))
others = [random_subnet(two_layers, generator) for _ in range(150)]
found = small_supernet(sandwich_step, two_layers, others, seed)
network = zoo.build("supernet", heads=[4, 4], ffn=[256, 256]).eval()
network.load_state_dict(found["state"])
checks.assert_at_least(
    subnet_accuracy(network, SMALLEST, data.tensors(test_split())),
    0.44,
    "accuracy of the smallest subnet after 150 sandwich steps",
    hint="every subnet's own loss has to reach the weights through backward(), and stay in .grad",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run: what is in a network that never saw its subnets?
#
# The next cell trains the same two-layer network twice for 100 steps, once whole and once by your sandwich steps, and
# cuts four subnets out of each. What will the smallest one, one layer of (1, 32), be worth in the network that was
# trained whole? And what does the largest pay for the sandwich?

# %%
space_of_two = {"layers": 2, "heads": SPACE["heads"], "ffn": SPACE["ffn"]}


def trained_supernet(by_sandwich: bool, steps: int = 100) -> nn.Module:
    """A supernet of two layers, trained whole or by sandwich steps."""
    network = zoo.build("supernet", seed=0, heads=[4, 4], ffn=[256, 256]).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    rows, generator = training.batches(pictures["train"], 64), torch.Generator().manual_seed(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        optimizer.zero_grad()
        if by_sandwich:
            sandwich_step(network, next(rows), space_of_two, [random_subnet(space_of_two, generator)])
        else:
            training.loss(network, next(rows)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval()


# %%
shapes = {
    "1 x (1, 32)": {"heads": [1], "ffn": [32]},
    "1 x (4, 256)": {"heads": [4], "ffn": [256]},
    "2 x (2, 64)": {"heads": [2, 2], "ffn": [64, 64]},
    "2 x (4, 256)": {"heads": [4, 4], "ffn": [256, 256]},
}
series = {}
for name, by_sandwich in (("trained whole", False), ("sandwich", True)):
    network = trained_supernet(by_sandwich)
    series[name] = [subnet_accuracy(network, subnet, pictures["validation"]) for subnet in shapes.values()]
    print(f"{name:14s}", {shape: round(value, 3) for shape, value in zip(shapes, series[name], strict=True)})
figure, axes = plots.figure(
    "Four subnets of two networks, after 100 steps",
    alt="Accuracy of four subnets with the weights of two networks. Trained whole: 0.24 for the smallest, 0.56, 0.33, and 0.70 for the largest. By sandwich steps: 0.54, 0.60, 0.56, and 0.64 for the largest.",
)
for marker, (name, values) in zip("os", series.items(), strict=True):
    axes.plot(list(shapes), values, marker, label=name, markersize=7)
axes.set_xlabel("subnet, layers x (heads, inner width)")
axes.set_ylabel("accuracy (share of pictures)")
axes.legend(frameon=False, fontsize=8)
plots.show(figure)

# %% [markdown]
# Trained whole, the network is worth 0.702, and its smallest subnet 0.242: the weights of a good network do not
# contain a good smaller one. One layer with everything in it has 0.562, two layers cut in half 0.333; missing heads
# and channels do more harm than a missing layer. After 100 sandwich steps the smallest has 0.540. The largest pays
# for it: 0.644 at the same number of steps, and a step costs three subnets instead of one. That is why the lab's
# supernet was trained whole first.

# %% [markdown]
# ## Predict, then run: does the supernet tell good subnets from bad ones?
#
# A search trusts the accuracy a subnet has with the supernet's weights. What counts in the end is the accuracy it
# would have if it were trained alone. Six subnets were trained alone for 800 steps from three seeds each (`python -m
# reference_impl.pruning.standalone` in the course's repository); the means of their accuracies on the validation
# pictures are in the list `alone`, in the order of `six`. Before you run the cell, put the six in the order you
# expect, smallest accuracy first.

# %%
six = [
    {"heads": [1], "ffn": [32]},
    {"heads": [4], "ffn": [256]},
    {"heads": [2] * 3, "ffn": [64] * 3},
    {"heads": [4] * 3, "ffn": [256] * 3},
    {"heads": [1] * 6, "ffn": [32] * 6},
    LARGEST,
]
alone = [0.789, 0.812, 0.8117, 0.8253, 0.8287, 0.826]


def ranks(values: list[float]) -> Tensor:
    """Places from the smallest, equal values sharing the mean of theirs."""
    one = torch.tensor(values)
    return (one[:, None] > one).sum(1) + 0.5 * (one[:, None] == one).sum(1)


inherited = [subnet_accuracy(supernet, subnet, pictures["validation"]) for subnet in six]
labels = [f"{len(s['heads'])} x ({s['heads'][0]}, {s['ffn'][0]})" for s in six]
parts = {"width": 64, "head_size": 16, "patch": 49, "tokens": 16, "labels": 10}
for label, subnet, mine, other in zip(labels, six, inherited, alone, strict=True):
    count = count_params(subnet, **parts)
    print(f"{label:12s} {count:7,} parameters  inherited {mine:.3f}  alone {other:.3f}")
for name, kept in (("all six", range(6)), ("the other five", (0, 1, 2, 3, 5))):
    pair = [ranks([values[place] for place in kept]) for values in (inherited, alone)]
    print(f"rank correlation of {name}: {torch.corrcoef(torch.stack(pair))[0, 1].item():.2f}")

# %%
figure, axes = plots.figure(
    "Six subnets: weights from the supernet and trained alone",
    alt="Accuracy with inherited weights over accuracy trained alone, six points. Five rise together from 0.758 and 0.789 for one layer of (1, 32) to 0.827 and 0.826 for the whole network. Six layers of (1, 32) lie far below: 0.772 inherited, 0.829 alone.",
)
axes.plot(alone, inherited, "o", color="black")
for place, label in enumerate(labels):
    side = -1 if place in (3, 4) else 1  # two points lie almost on top of each other
    axes.annotate(
        label,
        (alone[place], inherited[place]),
        textcoords="offset points",
        xytext=(7 * side, -3),
        ha="left" if side > 0 else "right",
        fontsize=8,
    )
axes.set_xlabel("accuracy, trained alone")
axes.set_ylabel("accuracy, inherited")
axes.margins(x=0.2)
plots.show(figure)

# %% [markdown]
# The rank correlation of all six is 0.35. One subnet is responsible: six layers of one head and 32 channels are among
# the best three when trained alone, 0.829, and next to last with inherited weights, 0.772. Without it the correlation
# is 0.87. A deep and narrow subnet shares each of its layers with wide ones, which may want something else from these
# weights, and in training it is practically never drawn. A search on this supernet will not find it, however well it
# searches.
#
# How much is six subnets worth? Accuracies of single networks trained alone differ by 0.005 to 0.008 between seeds
# (the standard deviation), so the order of the upper three is chance, and so is that of the middle two. The number is
# reported here and not graded.

# %% [markdown]
# ## Measure
#
# Three of the six, cut out with your `slice_subnet`, as networks of their own. Size and time fall; a subnet that is
# only a mask on the full network would cost as much as the full network.

# %%
models = {"supernet, largest": supernet}
for label, subnet in zip(labels, six, strict=True):
    if label in ("1 x (1, 32)", "3 x (2, 64)", "6 x (1, 32)"):
        models[label] = zoo.build("supernet", **subnet).eval()
        models[label].load_state_dict(slice_subnet(supernet.state_dict(), subnet, 16))
table = evaluation.report(models, pictures["validation"], latency_rows=32, repeats=3)
print(evaluation.show(table))

# %% [markdown]
# Three layers of (2, 64) and six of (1, 32) have the same number of multiplications for a picture, 886,400, and sizes
# 2% apart. With inherited weights the shallower is ahead, 0.790 against 0.772; alone the deeper is, 0.829 against
# 0.812. Their times differ as well, on our machine 1.9 and 2.6 ms for 32 pictures: more layers mean more and smaller
# steps. Notebook 03 searches with measured times.

# %% [markdown]
# A last look at what was trained. The next cell turns the order of all heads and channels around. The network as a
# whole computes the same as before; its first rows are now those that were last.

# %%
turned = {}
for name, value in supernet.state_dict().items():
    if any(part in name for part in ("q_proj", "k_proj", "v_proj", "fc1")):
        turned[name] = value.flip(0)
    elif "o_proj.weight" in name or "fc2.weight" in name:
        turned[name] = value.flip(1)
    else:
        turned[name] = value
backwards = zoo.build("supernet").eval()
backwards.load_state_dict(turned)
for name, subnet in (("largest", LARGEST), ("smallest", SMALLEST)):
    before, after = (subnet_accuracy(n, subnet, pictures["validation"]) for n in (supernet, backwards))
    print(f"{name:8s} {before:.3f}, turned around {after:.3f}")

# %% [markdown]
# ## What goes wrong
#
# - **The last slices instead of the first.** Every shape is right, and the smallest subnet falls from 0.758 to 0.262,
#   as the network that was turned around shows: it was trained in the first rows. The check on equal answers catches
#   it.
# - **Views instead of copies.** Fine-tuning the subnet then changes the supernet, and with it every other subnet.
# - **A target that moves.** Without `detach` the losses are the same numbers, and the gradient pulls the largest
#   subnet's answers towards those of the smallest. Only a check of gradients sees it.
# - **Gradients of one subnet.** A `zero_grad` between two subnets leaves those of the last one.
# - **Belief in the rule.** The lab's README compares five rules on the two-layer network, three seeds, 400 steps. The
#   smallest subnet has 0.259 in a network trained whole and 0.711 by the sandwich: that it is trained matters. How it
#   is trained does not show here: 0.748 where every subnet learns from the labels instead of the largest one's
#   answers, 0.731 with the moving target, 0.702 where the smallest is left out of the sandwich. In-place distillation
#   and the edges come from long training on ImageNet; a supernet of your own is worth the comparison.

# %% [markdown]
# ## At full size
#
# The published ViT has 12 layers of 12 heads and 3,072 inner channels. If heads may be 1 to 12, inner widths
# multiples of 256 and the depth 1 to 12, your numbering covers it; the search space has more than $10^{25}$ members.
# Where its weights or a GPU are missing, the cell says so in one line.

# %%
try:
    full = zoo.load("vit", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    config = full.config
    heads = list(range(1, config.num_attention_heads + 1))
    space = {
        "layers": config.num_hidden_layers,
        "heads": heads,
        "ffn": list(range(256, config.intermediate_size + 1, 256)),
    }
    largest = {"heads": [max(space["heads"])] * space["layers"], "ffn": [max(space["ffn"])] * space["layers"]}
    print(f"{encode(largest, space) + 1:.2e} subnets")

# %% [markdown]
# ## Further reading
#
# - [The chapter on pruning and sparsity](../../theory/3.2-Pruning_and_Sparsity.md): what structured removal buys.
# - Yu et al. 2020 (arXiv 2003.11142): one stage of training, no retraining of the chosen subnet, and what makes it
#   stable.
# - Cai et al. 2020 (arXiv 1908.09791): the same aim by shrinking step by step; also elastic kernel sizes.
# - Yu & Huang 2019 (arXiv 1903.05134): the sandwich rule and in-place distillation, where they were first used.
