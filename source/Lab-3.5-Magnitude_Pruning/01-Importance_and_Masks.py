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
# # Importance and masks
#
# You score the weights of two trained models, remove the smallest with an exact budget, and see what a budget for
# each layer does that one for all layers does not.
#
# | | |
# |---|---|
# | You will be able to | say which weights may be pruned, build masks with an exact number of zeros, and choose where the budget is spent |
# | Time | about 70 minutes |
# | Points | 24 of the lab's 100, all autograded |
# | You need | linear layers and `named_modules` in PyTorch |
# | Papers | LeCun et al. 1990, Optimal Brain Damage (NIPS); Han et al. 2015 (arXiv 1506.02626); Gale et al. 2019 (arXiv 1902.09574); Gordon et al. 2020, Compressing BERT (arXiv 2002.08307); Blalock et al. 2020 (arXiv 2003.03033) |

# %% [markdown] lang="zh-TW"
# # 重要性與遮罩
#
# 你會替兩個訓練好的模型的權重打分數，以精確的預算移除最小的權重，並比較每層各自的預算與全模型共用的預算。
#
# | | |
# |---|---|
# | 完成後你能 | 說明哪些權重可以剪枝、建立零的個數完全精確的遮罩，並決定預算花在哪裡 |
# | 時間 | 約 70 分鐘 |
# | 配分 | 本實驗 100 分中的 24 分，全部自動評分 |
# | 先備知識 | PyTorch 的線性層與 `named_modules` |
# | 論文 | LeCun et al. 1990, Optimal Brain Damage (NIPS)；Han et al. 2015 (arXiv 1506.02626)；Gale et al. 2019 (arXiv 1902.09574)；Gordon et al. 2020 (arXiv 2002.08307)；Blalock et al. 2020 (arXiv 2003.03033) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy

import torch
from labkit import checks, data, evaluation, plots, runtime, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=351)
bert, gpt2 = zoo.load("bert"), zoo.load("gpt2")


def masked(model: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    """A copy of the model in which the weights that the masks remove are zero."""
    changed = copy.deepcopy(model)
    for name, mask in masks.items():
        changed.get_submodule(name).weight.data.mul_(mask)
    return changed


# %% [markdown]
# ## Why
#
# The encoder of our language classifier holds 442,368 weights in its linear layers. Set the smaller half of them to
# zero, without any training, and it still names the language of 89.2% of the validation sentences; before, it was
# 89.8%. Choose the half at random, and 59% are left. So a trained network holds many weights that it hardly needs,
# and their size says something about which.
#
# The same recipe ruins a model when one line of it is wrong: a threshold that takes too many, a layer that should not
# have been touched, a share counted over the wrong set.

# %% [markdown]
# ## By hand
#
# Two layers of four weights, and half of the eight are to go:
#
# | layer | weights |
# |---|---|
# | A | 0.9, −0.8, 0.7, 0.6 |
# | B | 0.5, 0.1, −0.2, 0.05 |
#
# - A budget for each layer removes two in each: 0.7 and 0.6 from A, 0.1 and 0.05 from B.
# - One budget for both removes the four smallest of all: 0.05, 0.1, −0.2 and 0.5. That is all of B. Whatever flows
#   through B is now zero.
#
# The second choice keeps more of the total size of the weights, and it may cut the network in two. Which is better is
# a question for a measurement.
#
# Now a layer with equal weights: 0.5, 0.5, 0.5, 0.1, half to go. The second smallest value is 0.5, and "remove what
# is at most 0.5" removes all four. A budget is a count. Two must go: 0.1, and one of the three equal ones.

# %% [markdown]
# ## Formula
#
# $$ s_i = |w_i| \qquad m_i = \begin{cases} 0 & \text{if } s_i \text{ is among the } k \text{ smallest} \\ 1 &
# \text{otherwise} \end{cases} \qquad k = \mathrm{round}(p \cdot n) \qquad w_i \leftarrow m_i w_i $$
#
# - $s$: scores, $m$: mask, $w$: weights, all of one shape
# - $p$: the share to remove, `share` in the code; $n$: the number of entries that share the budget. For a budget for
#   each layer $n$ is the layer's size; for a global budget it is the size of all layers together
#
# (Han et al. 2015, section 3. The score goes back to LeCun et al. 1990, who show when it is too simple; Lab 3.7
# returns to that.)

# %% [markdown]
# ## You write: which weights, and how important
#
# Weights that multiply an input are pruned: those of `nn.Linear`, and those of `Conv1D`, the layer that GPT-2 uses in
# its place. Biases and norms are few and matter much. An embedding is a table, not a multiplication: a row with zeros
# is a damaged word. In GPT-2 the output layer `lm_head` is a `Linear` whose weight is the embedding itself, one
# tensor with two names. Prune it and every word is damaged. Recognise it by identity, not by name.
#
# <details><summary>Hint 1</summary>
# How do you tell whether two variables hold one tensor, or two tensors that are equal?
# </details>
# <details><summary>Hint 2</summary>
# Collect `id(layer.weight)` of every `nn.Embedding` first; the embedding may come after the layer that shares it.
# </details>

# %% nbgrader={"grade_id": "magnitude_scores", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.magnitude import magnitude_scores

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_magnitude_scores", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def scored_model(magnitude_scores, kind, seed, tie_first):
    import torch
    from labkit import zoo
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if kind in ("bert", "gpt2", "llama"):
        model = zoo.load(kind)
    else:
        torch.manual_seed(seed)
        model = nn.Module()
        model.head = nn.Linear(6, 11, bias=False)
        model.words = nn.Embedding(11, 6)
        model.block = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 9), nn.ModuleList([Conv1D(5, 9)]))
        model.equal = nn.Linear(6, 11, bias=False)
        model.equal.weight.data = model.words.weight.data.clone()
        model.picture = nn.Conv2d(1, 4, 3)
        if tie_first:
            model.words.weight = model.head.weight
        else:
            model.head.weight = model.words.weight
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = magnitude_scores(model)
    shapes = {name: list(value.shape) for name, value in found.items()}
    values = {name: value.clone() for name, value in found.items()} if kind == "made" else {}
    needs = [value.requires_grad for value in found.values()]
    for value in found.values():
        value.detach().fill_(7.0)
    after = model.state_dict()
    return {
        "names": list(found),
        "shapes": shapes,
        "values": values,
        "weights": {name: after[f"{name}.weight"] for name in found} if kind == "made" else {},
        "needs": needs,
        "changed": [key for key, value in before.items() if not torch.equal(value, after[key])],
    }


evidence = scored_model(magnitude_scores, "gpt2", 0, False)
checks.assert_equal(
    len(evidence["names"]), 16, "prunable layers of GPT-2", hint="four Conv1D in each of four blocks"
)
checks.assert_true(
    "lm_head" not in evidence["names"],
    "the tied head is left out",
    hint="its weight is the embedding's: compare id(layer.weight) with those of all nn.Embedding",
)
checks.assert_equal(
    evidence["shapes"]["transformer.h.0.attn.c_attn"],
    [128, 384],
    "shape of a Conv1D's scores",
    hint="scores have the shape of the weight, and a Conv1D keeps (in, out)",
)
checks.assert_equal(
    len(scored_model(magnitude_scores, "bert", 0, False)["names"]),
    26,
    "prunable layers of BERT",
    hint="every nn.Linear at every depth, pooler and classifier too: the caller chooses among them",
)
### BEGIN HIDDEN TESTS
seed = int(torch.randint(1_000_000, (1,), generator=checks.hidden_generator("magnitude_scores")))
for tie_first in (True, False):
    case = "embedding tied to the head" if tie_first else "head tied to the embedding"
    evidence = scored_model(magnitude_scores, "made", seed, tie_first)
    checks.assert_equal(
        evidence["names"],
        ["block.1", "block.2.0", "equal"],
        f"prunable layers, {case}",
        hint="Linear and Conv1D at every depth; no norm, no convolution; a head is left out only if it shares the "
        "embedding's tensor, and equal numbers are not sharing",
    )
    for name in ("block.1", "block.2.0", "equal"):
        checks.assert_close(
            evidence["values"][name],
            evidence["weights"][name].abs(),
            f"scores of {name}, {case}",
            hint="the absolute value, not the square and not the weight",
        )
    checks.assert_equal(
        evidence["needs"], [False] * 3, f"gradients, {case}", hint="detach: scores are numbers, not a graph"
    )
    checks.assert_equal(
        evidence["changed"],
        [],
        f"weights after the scores were overwritten, {case}",
        hint="return new tensors, not the weight's memory",
    )
checks.assert_true(
    "lm_head" not in scored_model(magnitude_scores, "llama", 0, False)["names"],
    "the tied head of Llama",
    hint="a tied head is recognised by its tensor, in any model",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the sparsity of a model
#
# Reports differ by a factor because they count over different sets (Blalock et al. 2020, section 4). Here sparsity is
# the share of zeros among the weights of the layers you name. Embeddings, norms and biases do not dilute it.

# %% nbgrader={"grade_id": "sparsity", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.magnitude import sparsity

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_sparsity", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
@probe
def counted(sparsity, weights, names):
    import torch
    from torch import nn

    model = nn.Module()
    model.words = nn.Embedding(10, 3)
    model.norm = nn.LayerNorm(3)
    for name, weight in weights.items():
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data = weight.clone()
        torch.nn.init.zeros_(layer.bias)
        setattr(model, name, layer)
    return float(sparsity(model, names))


weights = {"a": torch.tensor([[0.0, 1.0], [0.0, 2.0]]), "b": torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])}
checks.assert_close(
    counted(sparsity, weights, ["a", "b"]),
    0.3,
    "sparsity of two layers",
    atol=1e-12,
    hint="3 zeros in 10 weights",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("sparsity")
weights = {}
for name, shape in (("first", (7, 5)), ("second", (40, 30)), ("third", (3, 8))):
    dense = torch.randn(shape, generator=generator) * 1e-4 - 1e-6
    dense[dense == 0] = 1e-9
    weights[name] = dense * (torch.rand(shape, generator=generator) < 0.4)
for names in (["first", "second", "third"], ["third"], ["second", "first"]):
    chosen = torch.cat([weights[name].flatten() for name in names])
    checks.assert_close(
        counted(sparsity, weights, names),
        (chosen == 0).double().mean().item(),
        f"sparsity of {' and '.join(names)}",
        atol=1e-9,
        hint="zeros of the named layers' weights over their entries: not the mean of the layers' shares, no biases, "
        "no other layers, and a tiny weight is no zero",
    )
checks.assert_raises(
    "ValueError",
    counted,
    sparsity,
    weights,
    [],
    label="no layer named",
    hint="the share of nothing is undefined",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: a budget for each layer
#
# A mask is a bool tensor: True where the weight stays. The count is exact, `round(share * n)`, with Python's `round`.
# Among equal scores the entry that comes first goes first; a sort that keeps the order of equals, `stable=True`, does
# that for you.
#
# <details><summary>Hint</summary>
# A threshold answers the question "which value". You need the answer to "which entries". What does `argsort` give
# you?
# </details>

# %% nbgrader={"grade_id": "layer_mask", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.masks import layer_mask

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_layer_mask", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
checks.assert_equal(
    layer_mask(torch.tensor([0.9, 0.8, 0.7, 0.6]), 0.5),
    torch.tensor([True, True, False, False]),
    "layer A by hand",
    hint="True where the weight stays; the smallest go",
)
checks.assert_equal(
    layer_mask(torch.tensor([0.5, 0.5, 0.5, 0.1]), 0.5).tolist(),
    [False, True, True, False],
    "a layer with equal scores",
    hint="exactly two go: 0.1 and the first of the equal ones. A threshold takes all of them",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("layer_mask")
for shape in ((13, 17), (101,), (4, 3, 5)):
    for share in (0.0, 0.1, 0.37, 0.5, 0.9, 1.0):
        scores = torch.rand(shape, generator=generator)
        if share == 0.37:
            scores = torch.randint(0, 4, shape, generator=generator).float()
        count = round(share * scores.numel())
        removed = sorted(range(scores.numel()), key=lambda index: (scores.flatten()[index].item(), index))[
            :count
        ]
        expected = torch.ones(scores.numel(), dtype=torch.bool)
        expected[removed] = False
        mask = layer_mask(scores, share)
        case = f"{share:.0%} of {shape}"
        checks.assert_equal(
            int((~mask).sum()) if mask.dtype == torch.bool else -1,
            count,
            f"entries removed, {case}",
            hint="a bool tensor with exactly round(share * n) times False, with ties too",
        )
        checks.assert_equal(
            mask,
            expected.reshape(shape),
            f"mask, {case}",
            hint="the smallest scores go; among equal ones the earlier entry of scores.flatten() goes first",
        )
for share in (-0.1, 1.2):
    checks.assert_raises(
        "ValueError",
        layer_mask,
        torch.rand(4),
        share,
        label=f"a share of {share}",
        hint="refuse what is not 0 to 1",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: one budget for all
#
# All scores compete. The result has the same total number of zeros as before, and layers with large weights keep more
# of them.

# %% nbgrader={"grade_id": "global_mask", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.masks import global_mask

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_global_mask", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
by_hand = {"A": torch.tensor([0.9, 0.8, 0.7, 0.6]), "B": torch.tensor([0.5, 0.1, 0.2, 0.05])}
masks = global_mask(by_hand, 0.5)
checks.assert_equal(
    {name: mask.tolist() for name, mask in masks.items()},
    {"A": [True] * 4, "B": [False] * 4},
    "the example by hand",
    hint="the four smallest of all eight are B's",
)
checks.assert_equal(
    {
        name: mask.tolist()
        for name, mask in global_mask({"a": torch.ones(2), "b": torch.ones(2)}, 0.25).items()
    },
    {"a": [False, True], "b": [True, True]},
    "equal scores",
    hint="one of four goes: the first entry of the first tensor",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("global_mask")
shapes = {"wide": (6, 40), "small": (3, 3), "cube": (2, 5, 4), "row": (33,)}
for share in (0.0, 0.05, 0.3, 0.62, 0.97, 1.0):
    for tied in (False, True):
        scores = {
            name: (index + 1) * torch.rand(shape, generator=generator)
            if not tied
            else torch.randint(0, 5, shape, generator=generator).float()
            for index, (name, shape) in enumerate(shapes.items())
        }
        joined = torch.cat([part.flatten() for part in scores.values()])
        count = round(share * len(joined))
        removed = sorted(range(len(joined)), key=lambda index: (joined[index].item(), index))[:count]
        expected = torch.ones(len(joined), dtype=torch.bool)
        expected[removed] = False
        case = f"{share:.0%}, {'with' if tied else 'without'} ties"
        masks = global_mask(scores, share)
        checks.assert_equal(sorted(masks), sorted(shapes), f"layers, {case}", hint="a mask for each layer")
        checks.assert_equal(
            sum(int((mask == 0).sum()) for mask in masks.values()),
            count,
            f"entries removed over all layers, {case}",
            hint="round(share * n) once, with n over all layers: not a rounded count for each",
        )
        for name, part in zip(shapes, expected.split([scores[name].numel() for name in shapes]), strict=True):
            checks.assert_equal(
                masks[name],
                part.reshape(shapes[name]),
                f"mask of {name}, {case}",
                hint="compare all scores with each other; among equal ones the earlier layer, then the earlier entry "
                "goes first",
            )
            checks.assert_true(
                masks[name].dtype == torch.bool,
                f"dtype of the mask of {name}, {case}",
                hint="bool, True where it stays",
            )
checks.assert_raises(
    "ValueError", global_mask, by_hand, 1.5, label="a share of 1.5", hint="refuse what is not 0 to 1"
)
### END HIDDEN TESTS

# %% [markdown]
# ### The same from torch
#
# `torch.nn.utils.prune` has both budgets. It takes the k smallest, so its counts are exact too, but which of several
# equal entries goes is not specified. Ties are no exotic case: our models were stored in float16, and the 442,368
# weights have only 10,999 different sizes. Watch how many entries of the two masks agree.

# %%
from torch.nn.utils import prune

encoder_scores = {name: part for name, part in magnitude_scores(bert).items() if "encoder" in name}
pruned = copy.deepcopy(bert)
parameters = [(pruned.get_submodule(name), "weight") for name in encoder_scores]
prune.global_unstructured(parameters, pruning_method=prune.L1Unstructured, amount=0.7)
ours = global_mask(encoder_scores, 0.7)
same = sum(
    int((layer.weight_mask.bool() == ours[name]).sum())
    for name, (layer, _) in zip(ours, parameters, strict=True)
)
print(f"{same:,} of {sum(mask.numel() for mask in ours.values()):,} entries agree")

# %% [markdown]
# Both remove 309,658. They differ in 80 entries, all of one size: the size at which the budget ends is shared by 193
# weights, and each took a different part of them. `scores <= threshold` would take all: 147 more than the budget.
#
# ## Predict, then run
#
# The classifier with 30% to 90% of its encoder weights removed in four ways, without training: the smallest with one
# budget, the smallest with a budget for each layer, at random, and the largest. Where does each curve leave 90% of
# the way down? And which of the first two lies higher?

# %%
validation = data.tensors(data.languages()["validation"])
shares = [0.0, 0.3, 0.5, 0.7, 0.8, 0.9]
chance = {name: torch.rand(part.shape) for name, part in encoder_scores.items()}


def each_layer(scores: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    return {name: layer_mask(part, share) for name, part in scores.items()}


choices = {
    "smallest, one budget": lambda share: global_mask(encoder_scores, share),
    "smallest, each layer": lambda share: each_layer(encoder_scores, share),
    "random, each layer": lambda share: each_layer(chance, share),
    "largest, each layer": lambda share: each_layer(
        {name: -part for name, part in encoder_scores.items()}, share
    ),
}
accuracy = {
    label: [evaluation.quality(masked(bert, choose(share)), validation)[1] for share in shares]
    for label, choose in choices.items()
}
figure = plots.lines(
    shares,
    accuracy,
    x_label="share of encoder weights removed",
    y_label="validation accuracy",
    alt="Validation accuracy against the share of weights removed. Removing the smallest keeps about 0.88 up to 70 percent; "
    "one budget for all layers then falls later than a budget for each. Random removal is down to 0.59 at 50 percent, "
    "removing the largest to the level of guessing at 30.",
)
plots.show(figure)
for label, values in accuracy.items():
    print(
        f"{label:22s}",
        "  ".join(f"{share:.0%}: {value:.3f}" for share, value in zip(shares, values, strict=True)),
    )

# %% [markdown]
# Up to half, the classifier notices nothing. At 90% one budget keeps 0.704 and a budget for each layer 0.521: the
# layers do not need equally many weights. Removing the largest 30% ends in guessing, which shows that the score, not
# the budget, does the work.
#
# GPT-2 gives the other answer. Its perplexity (lower is better):

# %%
text = data.tensors(data.prose()["validation"], limit=48)
gpt2_scores = magnitude_scores(gpt2)
for share in (0.0, 0.3, 0.5, 0.7):
    row = {
        "one budget": global_mask(gpt2_scores, share),
        "each layer": each_layer(gpt2_scores, share),
    }
    found = {label: evaluation.quality(masked(gpt2, masks), text)[1] for label, masks in row.items()}
    print(f"{share:.0%} removed  " + "  ".join(f"{label}: {value:.2f}" for label, value in found.items()))
kept = global_mask(gpt2_scores, 0.7)
for kind in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
    densities = [mask.double().mean().item() for name, mask in kept.items() if name.endswith(kind)]
    print(f"{kind:12s} kept with one budget at 70%:", "  ".join(f"{density:.0%}" for density in densities))

# %% [markdown]
# In GPT-2 the weights of the four kinds of layers differ in scale, so one budget takes its zeros where weights are
# small, which is not where they matter least. A global budget compares numbers across layers, and a magnitude is
# comparable only where scales are. Measure both.

# %% [markdown]
# ## Measure


# %%
rows = {"dense": bert}
for share in (0.5, 0.8):
    rows[f"{share:.0%}, one budget"] = masked(bert, global_mask(encoder_scores, share))
table = evaluation.report(rows, validation, latency_rows=1, repeats=3)
print(evaluation.show(table[["bytes", "sparsity", "MACs a row", "latency (ms)", "accuracy", "recovery"]]))
print(f"of the encoder's weights: {sparsity(rows['80%, one budget'], list(encoder_scores)):.1%} zero")

# %% [markdown]
# Bytes, multiplications and latency have not moved. A zero in a dense matrix is stored and multiplied like any other
# number; notebook 04 is about formats that leave it out. The report's own sparsity column counts over all matrices,
# embeddings too, and so reads lower than yours. Neither is wrong. A figure without its set is.

# %% [markdown]
# ## What goes wrong
#
# - **A threshold instead of a count.** `scores <= kth_value` removes every entry that ties with the threshold. In a
#   model that is already 70% sparse most scores are 0: they all tie at any lower share, and a mask that should remove
#   50% removes 70%.
# - **The tied embedding pruned.** GPT-2 with half of each layer removed has a perplexity of 24.3; with half of the
#   embedding removed as well, 47.5. The embedding is 7% of the weights and does most of the damage.
# - **A share over all parameters.** 50% of the encoder's weights are 39.5% of all parameters of this BERT. Two groups
#   that count differently compare different models.

# %% [markdown]
# ## At full size
#
# The same scores on the published GPT-2. Where its weights or a GPU are missing, the cell says so in one line.

# %%
try:
    full = zoo.load("gpt2", profile="full")
    tokenizer = zoo.tokenizer("gpt2", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    full_scores = {name: part.cpu() for name, part in magnitude_scores(full).items()}
    print(
        len(full_scores),
        "layers,",
        f"{sum(part.numel() for part in full_scores.values()):,} prunable weights",
    )
    half = masked(full.cpu(), each_layer(full_scores, 0.5))
    some = data.tensors(data.prose()["validation"], tokenizer=tokenizer, limit=8)
    print(evaluation.show(evaluation.report({"dense": full, "50%, each layer": half}, some, repeats=1)))

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.2](../../theory/3.2-Pruning_and_Sparsity.md), sections 1 to 3: why there is anything to remove, and
#   magnitude as the crudest of a family of scores.
# - Han et al. 2015 (arXiv 1506.02626): the paper that made magnitude pruning the baseline.
# - Gale et al. 2019 (arXiv 1902.09574): thousands of runs in which the simple score holds its own.
# - Gordon et al. 2020 (arXiv 2002.08307): what magnitude pruning does to BERT before and after fine-tuning.
# - Blalock et al. 2020 (arXiv 2003.03033): how pruning papers count, and why their numbers can not be compared.
