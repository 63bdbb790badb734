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
# # Layer pruning
#
# You measure how far each block of a Transformer turns what passes through it, and take whole blocks out.
#
# | | |
# |---|---|
# | You will be able to | compute a block's influence without labels, drop layers without breaking what is left, and check the choice against the loss |
# | Time | about 70 minutes |
# | Points | 22 of the lab's 100, all autograded |
# | You need | residual connections, pre-LN and post-LN blocks; forward hooks |
# | Papers | Men et al. 2024, ShortGPT (arXiv 2403.03853); Kim et al. 2024, Shortened LLaMA (arXiv 2402.02834); Xiong et al. 2020 (arXiv 2002.04745); Sajjad et al. 2020 (arXiv 2004.03844) |

# %% [markdown] lang="zh-TW"
# # 層剪枝
#
# 你會量測 Transformer 的每個區塊把通過它的向量轉了多少，並移除整個區塊。
#
# | | |
# |---|---|
# | 完成後你能 | 不用標籤計算區塊的影響力、移除層而不弄壞其餘部分，並以損失檢驗這個選擇 |
# | 時間 | 約 70 分鐘 |
# | 配分 | 本實驗 100 分中的 22 分，全部自動評分 |
# | 先備知識 | 殘差連接、pre-LN 與 post-LN 區塊；forward hook |
# | 論文 | Men et al. 2024, ShortGPT (arXiv 2403.03853)；Kim et al. 2024, Shortened LLaMA (arXiv 2402.02834)；Xiong et al. 2020 (arXiv 2002.04745)；Sajjad et al. 2020 (arXiv 2004.03844) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=363)
vit, bert = zoo.load("vit").eval(), zoo.load("bert").eval()
pictures = {split: data.tensors(data.fashion()[split]) for split in ("train", "validation")}
sentences = {split: data.tensors(data.languages()[split]) for split in ("train", "validation")}


class SmallLayer(nn.Module):
    """x + W·tanh(V·x) with dropout and a number, as decoders have; answers with a tuple where asked."""

    def __init__(self, place: int, as_tuple: bool) -> None:
        super().__init__()
        self.v, self.w, self.drop = nn.Linear(4, 6), nn.Linear(6, 4), nn.Dropout(0.5)
        self.v.layer_idx, self.as_tuple = place, as_tuple

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Any:
        x = x + self.drop(self.w(torch.tanh(self.v(x))))
        return (x, mask) if self.as_tuple else x


class SmallStack(nn.Module):
    """Four such layers between an embedding and a norm; the checks use it."""

    def __init__(self, as_tuple: bool = False) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_hidden_layers=4, hidden_size=4)
        self.embed, self.norm = nn.Embedding(11, 4), nn.LayerNorm(4)
        self.body = nn.Module()
        self.body.layers = nn.ModuleList(SmallLayer(place, as_tuple) for place in range(4))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.embed(input_ids)
        for layer in self.body.layers:
            answer = layer(x, attention_mask)
            x = answer[0] if isinstance(answer, tuple) else answer
        return self.norm(x)


# %% [markdown]
# ## Why
#
# A block of the tiny ViT holds 49,984 parameters, 16% of the model. Take the last of its six blocks out, touch nothing
# else, and accuracy on the validation pictures is 0.841 instead of 0.844. Take the first out instead and it is 0.239. The
# last block turns the vectors that pass through it by a little, the first by a lot, and that can be measured on
# unlabelled pictures in one forward pass. A removed block is also the surest way to save time: no matrix gets
# smaller, there are fewer of them.

# %% [markdown]
# ## By hand
#
# Two tokens of width two pass through a block. The first enters as (1, 0) and leaves as (2, 0): longer, in the same
# direction, cosine 1. The second enters as (0, 1) and leaves as (1, 1): cosine 1/√2 = 0.707.
#
# - mean cosine: (1 + 0.707)/2 = 0.854
# - block influence: 1 − 0.854 = 0.146
#
# The first token doubled its length and counts as untouched: before the next sublayer a norm divides by the length
# anyway, at least in a pre-LN network. A third, padding, token must not count at all.

# %% [markdown]
# ## Formula
#
# $$ \mathrm{BI}_i = 1 - \mathbb{E}_{x, t}\left[ \frac{X_{i,t}^\top X_{i+1,t}}{\lVert X_{i,t} \rVert\, \lVert X_{i+1,t} \rVert} \right] $$
#
# - $X_{i,t}$: the residual stream at token $t$ before block $i$, (width,); $X_{i+1,t}$: after it
# - $\mathbb{E}_{x,t}$: the mean over all real tokens of all examples
#
# (Men et al. 2024, equation 1.) 0 means that the block turns nothing.
#
# ## You write: the influence of one block

# %% nbgrader={"grade_id": "block_influence", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.depth import block_influence

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_block_influence", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
before, after = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[[2.0, 0.0], [1.0, 1.0]]])
checks.assert_close(
    block_influence(before, after),
    0.14645,
    "influence by hand",
    atol=1e-4,
    hint="1 minus the mean of the tokens' cosines 1 and 0.707, each over its own lengths",
)
checks.assert_close(
    block_influence(before, after, torch.tensor([[1, 0]])),
    0.0,
    "influence by hand when the second token is padding",
    atol=1e-6,
    hint="only tokens whose mask is 1 enter the mean",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("block_influence")
x = torch.randn(3, 5, 7, generator=generator, dtype=torch.float64)
y = x + torch.randn(3, 5, 7, generator=generator, dtype=torch.float64) * torch.rand(
    3, 5, 1, generator=generator
)
cosines = (x * y).sum(-1) / (x.square().sum(-1).sqrt() * y.square().sum(-1).sqrt())
checks.assert_close(
    block_influence(x, y),
    1 - float(cosines.mean()),
    "influence of a block",
    atol=1e-6,
    hint="a cosine for each token, over the width; one cosine of everything is another number",
)
mask = torch.rand(3, 5, generator=generator) < 0.6
mask[0, 0], mask[1] = True, False
for label, given in (("of bools", mask), ("of integers", mask.long())):
    checks.assert_close(
        block_influence(x, y, given),
        1 - float(cosines[mask].mean()),
        f"influence under a mask {label}",
        atol=1e-6,
        hint="the mean over real tokens of all rows together; a row may have none",
    )
checks.assert_close(
    block_influence(x, -2 * x), 2.0, "influence of a block that turns round", atol=1e-6, hint="the cosine is -1: keep its sign"
)  # fmt: skip
checks.assert_close(
    block_influence(1e-12 * x, 1e-12 * y),
    1 - float(cosines.mean()),
    "influence between very short vectors",
    atol=1e-4,
    hint="no large constant in the denominator: cosines do not depend on the lengths",
)
zeros = x.clone()
zeros[0, 0] = 0.0
flat = cosines.clone()
flat[0, 0] = 0.0
checks.assert_close(
    block_influence(zeros, y),
    1 - float(flat.mean()),
    "influence when one vector is zero",
    atol=1e-6,
    hint="a vector of zeros has the cosine 0 with every vector, not NaN",
)
for label, arguments in (
    ("shapes that differ", (x, y[:1])),
    ("a mask of another shape", (x, y, mask[:1])),
    ("no real token", (x, y, torch.zeros(3, 5))),
):
    checks.assert_raises("ValueError", block_influence, *arguments, label=label, hint="raise ValueError")
### END HIDDEN TESTS

# %% [markdown]
# ## You write: all blocks at once
#
# Hooks see what each layer of a stack is given and what it answers. Some releases answer with a tensor, some with a
# tuple whose first entry is the stream.
#
# <details><summary>Hint</summary>
# A batch with three real tokens and one with thirty: what does the mean of their two means count twice?
# </details>

# %% nbgrader={"grade_id": "layer_influences", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.depth import layer_influences

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_layer_influences", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def stack_influences(layer_influences, state, batches, as_tuple=False, breaks=False):
    net = SmallStack(as_tuple)
    net.load_state_dict(state)
    net.train()
    graded = []
    net.norm.register_forward_pre_hook(lambda _, x: graded.append(x[0].requires_grad))
    asked = [{"input_ids": ids, "labels": ids[:, 0]} for ids, _ in batches]  # the stack takes no labels
    for rows, (_, mask) in zip(asked, batches, strict=True):
        rows |= {} if mask is None else {"attention_mask": mask}
    if breaks:
        asked.append({"input_ids": torch.tensor([[99]])})
    torch.manual_seed(0)
    try:
        found = [float(value) for value in layer_influences(net, "body.layers", asked)]
    except IndexError:
        found = []
    hooks = [len(layer._forward_hooks) + len(layer._forward_pre_hooks) for layer in net.body.layers]
    return {
        "influences": found,
        "hooks": hooks,
        "training": [part.training for part in net.modules()],
        "graded": graded,
    }


torch.manual_seed(6)
parts = SmallStack().state_dict()
ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
evidence = stack_influences(layer_influences, parts, [[ids, None]])
checks.assert_equal(
    len(evidence["influences"]), 4, "one number a layer", hint="a list in the order of the stack"
)
checks.assert_close(
    evidence["influences"],
    [0.1709, 0.0972, 0.2090, 0.1880],
    "influences in the small stack",
    atol=1e-3,
    hint="eval mode: dropout changes them. Compare what a layer is given with what it answers",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("layer_influences")
parts = {key: torch.randn(value.shape, generator=generator) for key, value in parts.items()}


def written_out(state, batches):
    """The mean over real tokens of one minus the cosine, layer by layer."""
    turned = [[] for _ in range(4)]
    for ids, mask in batches:
        stream = state["embed.weight"].double()[ids]
        for place in range(4):
            name = f"body.layers.{place}"
            inner = torch.tanh(
                stream @ state[f"{name}.v.weight"].double().T + state[f"{name}.v.bias"].double()
            )
            after = stream + inner @ state[f"{name}.w.weight"].double().T + state[f"{name}.w.bias"].double()
            cosine = torch.cosine_similarity(stream, after, dim=-1)
            turned[place].append(1 - (cosine.flatten() if mask is None else cosine[mask == 1]))
            stream = after
    return [float(torch.cat(values).mean()) for values in turned]


def drawn_ids(*shape):
    return torch.randint(0, 11, shape, generator=generator)


one = [drawn_ids(4, 5), None]
padded = torch.ones(3, 6, dtype=torch.long)
padded[0, 2:], padded[2, 1:] = 0, 0
cases = {
    "one batch": [one],
    "batches of different sizes": [one, [drawn_ids(1, 2), None], [drawn_ids(2, 7), None]],
    "padding": [[drawn_ids(3, 6), padded]],
    "padding in one batch of two": [[drawn_ids(3, 6), padded], [drawn_ids(3, 6), torch.ones_like(padded)]],
}
for label, batches in cases.items():
    checks.assert_close(
        stack_influences(layer_influences, parts, batches)["influences"],
        written_out(parts, batches),
        f"influences, {label}",
        atol=1e-4,
        hint="the mean over every real token of all batches: weigh a batch by its real tokens",
    )
evidence = stack_influences(layer_influences, parts, cases["padding"], as_tuple=True)
checks.assert_close(
    evidence["influences"],
    written_out(parts, cases["padding"]),
    "influences of layers that answer with a tuple",
    atol=1e-4,
    hint="the stream is the tuple's first entry",
)
checks.assert_equal(sum(evidence["hooks"]), 0, "hooks left behind", hint="remove every hook")
checks.assert_true(all(evidence["training"]), "mode afterwards", hint="the model came in train mode")
checks.assert_equal(any(evidence["graded"]), False, "gradients recorded", hint="run under torch.no_grad()")
broken = stack_influences(layer_influences, parts, cases["one batch"], breaks=True)
checks.assert_equal(
    sum(broken["hooks"]), 0, "hooks left after an error", hint="remove them in a finally block"
)
checks.assert_true(all(broken["training"]), "mode after an error", hint="restore it in a finally block")
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the shorter model
#
# Dropping a layer is one line of Python and three chances to break the rest: `config.num_hidden_layers` says how many
# layers the model runs, decoders number their layers to find their cache, and everything around the stack must stay.
#
# <details><summary>Hint</summary>
# `layer_idx` sits on the attention in some models and on the layer in others. `layer.modules()` visits both.
# </details>

# %% nbgrader={"grade_id": "drop_layers", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.depth import drop_layers

# %% [markdown]
# ### Check
#
# The hidden checks use the tiny Llama, too: one of its blocks is made to write nothing, so that dropping it may not
# change the logits, and a text is read token by token with the cache and at once without it.


# %% nbgrader={"grade_id": "test_drop_layers", "solution": false, "grade": true, "locked": true, "points": 7, "schema_version": 3, "task": false}
@probe
def shorter_stack(drop_layers, state, ids, drop, training=False):
    net = SmallStack()
    net.load_state_dict(state)
    net.train(training)
    short = drop_layers(net, "body.layers", drop)
    modes = [part.training for part in short.modules()]
    return {
        "output": short.eval()(ids).detach(),
        "state": {key: value.clone() for key, value in short.state_dict().items()},
        "numbers": [layer.v.layer_idx for layer in short.body.layers],
        "config": [short.config.num_hidden_layers, short.config.hidden_size],
        "modes": modes,
        "kinds": [type(short.body.layers).__name__, type(short.body.layers[0]).__name__],
        "original": {key: value.clone() for key, value in net.state_dict().items()},
        "original_numbers": [layer.v.layer_idx for layer in net.body.layers],
        "original_config": net.config.num_hidden_layers,
    }


torch.manual_seed(7)
weights = SmallStack().state_dict()
ids = torch.tensor([[1, 2, 3]])
evidence = shorter_stack(drop_layers, weights, ids, [3])
checks.assert_equal(
    evidence["config"],
    [3, 4],
    "number of layers in the config",
    hint="config.num_hidden_layers is the number left",
)
checks.assert_equal(
    evidence["state"]["body.layers.2.v.weight"],
    weights["body.layers.2.v.weight"],
    "third layer after the fourth is dropped",
    hint="the layers that stay keep their weights and their order",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("drop_layers")
weights = {key: torch.randn(value.shape, generator=generator) for key, value in weights.items()}
ids = torch.randint(0, 11, (2, 5), generator=generator)


def stack_output(state, ids, kept):
    """The stack written out with some of its layers."""
    stream = state["embed.weight"].double()[ids]
    for name in (f"body.layers.{place}" for place in kept):
        inner = torch.tanh(stream @ state[f"{name}.v.weight"].double().T + state[f"{name}.v.bias"].double())
        stream = stream + inner @ state[f"{name}.w.weight"].double().T + state[f"{name}.w.bias"].double()
    return nn.functional.layer_norm(stream, (4,), state["norm.weight"].double(), state["norm.bias"].double())


for drop in ([1], [0, 2], [3, 1, 2], []):
    kept = [place for place in range(4) if place not in drop]
    evidence = shorter_stack(drop_layers, weights, ids, drop)
    checks.assert_close(
        evidence["output"],
        stack_output(weights, ids, kept),
        f"output without the layers {drop}",
        atol=1e-4,
        hint="the places are those of the original: deleting one by one shifts them",
    )
    checks.assert_equal(
        [evidence["config"], evidence["numbers"]],
        [[len(kept), 4], list(range(len(kept)))],
        f"config and layer numbers without the layers {drop}",
        hint="set num_hidden_layers, and layer_idx of every module that has one to its layer's new place",
    )
    checks.assert_equal(
        [evidence["original_config"], evidence["original_numbers"]],
        [4, [0, 1, 2, 3]],
        f"the original's config and numbers after dropping {drop}",
        hint="work on a deep copy: the config belongs to it too",
    )
for key, value in weights.items():
    checks.assert_equal(evidence["original"][key], value, f"original {key}", hint="work on a deep copy")
checks.assert_equal(
    evidence["kinds"],
    ["ModuleList", "SmallLayer"],
    "type of the stack",
    hint="an nn.ModuleList of the layers",
)
checks.assert_equal(any(evidence["modes"]), False, "modes of a copy in eval mode", hint="as it came")
evidence = shorter_stack(drop_layers, weights, ids, [1], training=True)
checks.assert_true(
    all(evidence["modes"]), "modes of a copy in train mode", hint="as it came, the new stack too"
)
for label, drop in (
    ("a layer twice", [1, 1]),
    ("a layer that does not exist", [4]),
    ("a negative place", [-1]),
    ("all layers", [0, 1, 2, 3]),
):
    checks.assert_raises(
        "ValueError", shorter_stack, drop_layers, weights, ids, drop, label=label, hint="say so"
    )


@probe
def shorter_llama(drop_layers, silent, ids):
    net = zoo.load("llama").eval()
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        net.model.layers[silent].get_submodule(name).weight.data.zero_()
    short = drop_layers(net, "model.layers", [silent])
    with torch.no_grad():
        whole, expected = short(ids, use_cache=False).logits, net(ids, use_cache=False).logits
        steps, cache = [], None
        for place in range(ids.shape[1]):
            answer = short(ids[:, place : place + 1], past_key_values=cache, use_cache=True)
            steps.append(answer.logits)
            cache = answer.past_key_values
    numbers = [layer.self_attn.layer_idx for layer in short.model.layers]
    tied = short.lm_head.weight is short.model.embed_tokens.weight
    return {"whole": whole, "full": expected, "steps": torch.cat(steps, 1), "numbers": numbers, "tied": tied}


silent = int(torch.randint(0, 3, (1,), generator=generator))
evidence = shorter_llama(drop_layers, silent, torch.randint(0, 512, (1, 9), generator=generator))
checks.assert_equal(evidence["numbers"], [0, 1, 2], "cache numbers of the Llama", hint="renumber layer_idx")
checks.assert_close(
    evidence["whole"],
    evidence["full"],
    "logits without a block that writes nothing",
    atol=1e-4,
    hint="embeddings, final norm and head stay; a pre-LN block with zero output projections adds nothing",
)
checks.assert_close(
    evidence["steps"],
    evidence["whole"],
    "logits token by token with the cache",
    atol=1e-3,
    hint="two layers with one number share a cache entry: renumber layer_idx",
)
checks.assert_true(evidence["tied"], "tied output layer", hint="one deep copy of the whole model keeps ties")
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# The ViT is pre-LN, six blocks; the language classifier is post-LN, four blocks. Which blocks turn the stream most, and
# will the same blocks be the ones that accuracy misses most?

# %%
some_pictures = {key: value[:256] for key, value in pictures["train"].items()}
some_sentences = {key: value[:256] for key, value in sentences["train"].items()}
cases: dict[str, Any] = {
    "ViT": (vit, "vit.layers", some_pictures, pictures["validation"]),
    "BERT": (bert, "bert.encoder.layer", some_sentences, sentences["validation"]),
}
influence: dict[str, list[float]] = {}
for name, (net, stack, rows, judged) in cases.items():
    influence[name] = layer_influences(net, stack, [rows])
    print(f"{name}, accuracy with all layers {evaluation.quality(net, judged)[1]:.4f}")
    for place, value in enumerate(influence[name]):
        without = drop_layers(net, stack, [place])
        loss = float(training.loss(without, rows).detach())
        accuracy = evaluation.quality(without, judged)[1]
        print(f"  block {place}: influence {value:.4f}, without it loss {loss:.3f}, accuracy {accuracy:.4f}")

# %% [markdown]
# In the ViT the influence falls from block to block, and the loss without the block falls in the same order. In a pre-LN
# network the stream grows longer as blocks add to it, so later blocks turn it less. In the post-LN classifier, where a
# LayerNorm at the end of each block resets the length, the influences lie close together and say less: its last block
# turns most, but the loss misses the first one most, and the accuracies without one block differ by less than a point.
#
# ## You write: asking the loss
#
# The influence is one cheap guess for all removals. The expensive way removes one layer, looks which removal hurts
# least, and starts again from the shorter model. With $L$ layers and $k$ removals that is $L + (L-1) + \dots$, $k$
# terms, runs over the data.

# %% nbgrader={"grade_id": "greedy_removal", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.depth import greedy_removal

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_greedy_removal", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def scripted_removal(greedy_removal, count, weights, pairs, remove):
    asked = []

    def cost(kept):
        asked.append(list(kept))
        alone = sum(weights[place] for place in range(count) if place not in kept)
        together = sum(extra for i, j, extra in pairs if i not in kept and j not in kept)
        return alone + together

    return {"removed": greedy_removal(count, cost, remove), "asked": asked}


evidence = scripted_removal(greedy_removal, 3, [3.0, 1.0, 2.0], [], 1)
checks.assert_equal(evidence["removed"], [1], "the cheapest of three", hint="smaller cost is better")
checks.assert_equal(
    sorted(evidence["asked"]),
    [[0, 1], [0, 2], [1, 2]],
    "models that were tried",
    hint="each layer left out once, alone; cost is given the layers that stay, ascending",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("greedy_removal")
redundant = scripted_removal(greedy_removal, 4, [1.0, 1.5, 3.0, 4.0], [(0, 1, 10.0)], 2)
checks.assert_equal(
    redundant["removed"],
    [0, 2],
    "two layers that replace each other",
    hint="after the first removal ask again: the second cheapest may have become the most important",
)
for count, remove in ((5, 3), (6, 5), (4, 0)):
    weights = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
    pairs = [
        (i, j, float(torch.rand(1, generator=generator, dtype=torch.float64)))
        for i in range(count)
        for j in range(i)
    ]
    kept, expected = list(range(count)), []
    for _ in range(remove):
        gone = set(range(count)) - set(kept)
        options = {}
        for place in kept:
            out = gone | {place}
            options[place] = sum(weights[p] for p in out) + sum(e for i, j, e in pairs if {i, j} <= out)
        expected.append(min(options, key=options.get))
        kept.remove(expected[-1])
    evidence = scripted_removal(greedy_removal, count, weights, pairs, remove)
    checks.assert_equal(
        evidence["removed"],
        expected,
        f"{remove} removals of {count}",
        hint="in the order of removal, each time from what is left",
    )
    checks.assert_equal(
        len(evidence["asked"]),
        sum(count - done for done in range(remove)),
        f"calls of cost for {remove} removals of {count}",
        hint="each layer still there once a round, and not the full model: calls are expensive",
    )
    checks.assert_equal(
        [kept == sorted(kept) for kept in evidence["asked"]],
        [True] * len(evidence["asked"]),
        f"ascending places for {remove} removals of {count}",
        hint="pass the layers that stay in ascending order",
    )
checks.assert_equal(
    scripted_removal(greedy_removal, 4, [1.0, 1.0, 1.0, 2.0], [], 3)["removed"],
    [2, 1, 0],
    "equal costs",
    hint="of equal costs the later layer goes",
)
checks.assert_equal(
    scripted_removal(greedy_removal, 3, [-1.0, -3.0, -2.0], [], 2)["removed"],
    [1, 2],
    "costs below zero",
    hint="a removal may improve the model: do not start from cost 0",
)
for label, remove in (("all layers", 3), ("a negative number of layers", -1)):
    checks.assert_raises(
        "ValueError",
        scripted_removal,
        greedy_removal,
        3,
        [1.0, 2.0, 3.0],
        [],
        remove,
        label=label,
        hint="say so",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Accuracy by depth
#
# Three orders of removal on both models: smallest influence first, greedily by the training loss, and the first block
# first.


# %%
def by_loss(name: str) -> list[int]:
    net, stack, rows, _ = cases[name]
    count = len(influence[name])

    def cost(kept: list[int]) -> float:
        gone = [place for place in range(count) if place not in kept]
        with torch.no_grad():
            return float(training.loss(drop_layers(net, stack, gone), rows))

    return greedy_removal(count, cost, count - 1)


curves: dict[str, dict[str, list[float]]] = {}
for name, (net, stack, _, judged) in cases.items():
    count = len(influence[name])
    orders = {
        "influence": sorted(range(count), key=lambda place, of=influence[name]: of[place]),
        "greedy, loss": by_loss(name),
        "first block first": list(range(count)),
    }
    curves[name] = {}
    for rule, order in orders.items():
        models = [drop_layers(net, stack, order[:gone]) for gone in range(count)]
        curves[name][rule] = [evaluation.quality(shorter, judged)[1] for shorter in models]
        print(f"{name:4s} {rule:18s} {order}", " ".join(f"{value:.3f}" for value in curves[name][rule]))
figure = plots.lines(
    [6, 5, 4, 3, 2, 1],
    curves["ViT"],
    x_label="blocks left of the ViT's six",
    y_label="accuracy (validation, no training)",
    alt="Accuracy of the ViT against the number of blocks left. By influence and by the greedy loss the lines nearly "
    "coincide: almost flat from six to four blocks, then falling. With the first block removed first, accuracy falls "
    "to a fifth at once.",
)
plots.show(figure)

# %% [markdown]
# On the ViT the cheap measure and the expensive one remove the same blocks in the same order: the last first. On the
# classifier they agree on the first removal and part at the second, since the greedy search asks the shorter model
# again: with two blocks left it is at 0.845 against 0.824, with one at 0.702 against 0.600. It took nine runs over the
# data instead of one, and labels of the training split.
#
# ## Measure
#
# Two blocks fewer, before and after a fine-tune of 100 steps.

# %%
shorter = drop_layers(vit, "vit.layers", [4, 5])
tuned = copy.deepcopy(shorter)
training.fit(tuned, pictures["train"], steps=100, learning_rate=2e-3, seed=0)
models = {"six blocks": vit, "four blocks": shorter, "four blocks, tuned": tuned}
table = evaluation.report(models, pictures["validation"], latency_rows=64, repeats=5)
print(evaluation.show(table.drop(columns=["bits a weight", "sparsity", "latency spread (ms)"])))

# %% [markdown]
# A third of the blocks is a third of the parameters and of the multiply-accumulates, and the time of a call follows, since
# whole calls of every kind of operation are gone. Accuracy is 0.831 before and 0.834 after the fine-tune: on this
# model two blocks are nearly free, and the tuning hardly matters.

# %% [markdown]
# ## What goes wrong
#
# - **Places that shift.** `del layers[1]; del layers[2]` removes the original's blocks 1 and 3.
# - **A config that still says six.** The model runs, because it iterates over what is there; saved and loaded again, it
#   comes with two untrained blocks.
# - **Cache numbers with a gap.** A decoder without its block 1 and with the old numbers works at once and without a
#   cache; token by token it looks up entries that nobody wrote.
# - **Padding in the mean.** Padding tokens pass through every block too. With most of a batch padding, the influence
#   describes them.
# - **Influence as a law.** It is a guess about one removal at a time. After the first, ask again.

# %% [markdown]
# ## At full size
#
# The published BERT-Large, 24 post-LN blocks: their influences on eight sentences, and the model without the four
# smallest.

# %%
try:
    full = zoo.load("bert", profile="full")
    tokenizer = zoo.tokenizer("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    rows = data.tensors(data.languages()["train"].select(range(8)), tokenizer=tokenizer)
    rows = {key: value.to(full.device) for key, value in rows.items()}
    values = layer_influences(full, "bert.encoder.layer", [rows])
    print("influences:", " ".join(f"{value:.3f}" for value in values))
    least = sorted(range(len(values)), key=values.__getitem__)[: len(values) // 6]
    counts = [evaluation.parameter_count(m) for m in (full, drop_layers(full, "bert.encoder.layer", least))]
    print(f"without blocks {sorted(least)}: {counts[0]:,} to {counts[1]:,} parameters")

# %% [markdown]
# ## Further reading
#
# - Men et al. 2024 (arXiv 2403.03853): a quarter of Llama-2's layers by this measure, and what it costs.
# - Sajjad et al. 2020 (arXiv 2004.03844): dropping BERT's layers from the top, the bottom and the middle.
# - Xiong et al. 2020 (arXiv 2002.04745): why pre-LN and post-LN streams differ.
# - Chapter 3.2 of the textbook (`theory/3.2-Pruning_and_Sparsity.md`).
