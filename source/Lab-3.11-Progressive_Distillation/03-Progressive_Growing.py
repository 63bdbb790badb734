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
# # Progressive growing
#
# You make a trained Llama larger without changing what it computes, and let the optimizer go on as if nothing had
# happened.
#
# | | |
# |---|---|
# | You will be able to | widen and deepen a Transformer and prove that its function is unchanged, carry an optimizer's state over, and say what growing saves |
# | Time | about 90 minutes |
# | Points | 23 of the lab's 100 |
# | You need | the blocks of a Llama; what AdamW keeps for a parameter |
# | Papers | Chen et al. 2015, Net2Net (arXiv 1511.05641); Gong et al. 2019, Efficient Training of BERT by Progressively Stacking (ICML); Chen et al. 2021, bert2BERT (arXiv 2110.07143); Wang et al. 2023, LiGO (arXiv 2303.00980) |

# %% [markdown] lang="zh-TW"
# # 漸進式成長
#
# 你會把訓練過的 Llama 變大而不改變它的計算結果，並讓最佳化器像什麼都沒發生一樣繼續。
#
# | | |
# |---|---|
# | 完成後你能 | 加寬與加深 Transformer 並證明函數不變、轉移最佳化器狀態，並說出成長省下什麼 |
# | 時間 | 約 90 分鐘 |
# | 配分 | 本實驗 100 分中的 23 分 |
# | 先備知識 | Llama 的區塊；AdamW 為每個參數保存什麼 |
# | 論文 | Chen et al. 2015 (arXiv 1511.05641)；Gong et al. 2019 (ICML)；Chen et al. 2021 (arXiv 2110.07143)；Wang et al. 2023 (arXiv 2303.00980) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
from collections.abc import Mapping

import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=3113)
TOKENS = 64


def llama(layers: int, inner: int = 384, width: int = 128) -> nn.Module:
    """An untrained Llama with so many blocks, inner units a block, and hidden states of this width."""
    return zoo.build("llama", num_hidden_layers=layers, intermediate_size=inner, hidden_size=width)


# %% [markdown]
# ## Why
#
# A progressive scheme can run in the other direction: train a small network first, cheaply, then make it larger and
# go on. That only pays when the small one's training is not lost on the way. Our Llama of two blocks has perplexity
# 97.783 after 60 steps. Stacked on itself to four blocks it has 106. Grown by the functions of this notebook it has
# four blocks, or twice as many inner units, and still 97.783.

# %% [markdown]
# ## By hand
#
# One input $x = 2$, two inner units, a plain product in place of the gate. Rows $w_1 = 1$, $w_2 = 3$ give the units 2
# and 6; the columns $v_1 = 5$, $v_2 = -1$ give $5 \cdot 2 - 1 \cdot 6 = 4$. Three units with copies 0, 1, 0: the
# units are 2, 6, 2.
#
# | columns | output |
# |---|---|
# | copied, 5, −1, 5 | 10 − 6 + 10 = 14 |
# | divided by the number of copies, 2.5, −1, 2.5 | 5 − 6 + 5 = 4 |
#
# Unit 0 has two copies, the old one included, unit 1 has one. It is the *outgoing* weights that are divided. Halve
# the incoming ones and a gate, which is not linear, answers something else.
#
# Depth is easier. A pre-norm block computes $x + f(x)$. When the last matrix of $f$ is zero, $f(x) = 0$, and the
# block hands $x$ on.

# %% [markdown]
# ## Formula
#
# $$ \sum_{j=1}^{m} \frac{v_{c(j)}}{\#\{j' : c(j') = c(j)\}} \; h_{c(j)} = \sum_{i=1}^{n} v_i\, h_i , \qquad
# h_i = \mathrm{silu}(g_i^\top x)\, (u_i^\top x) $$
#
# - $g_i$, $u_i$: rows of `gate_proj` and `up_proj`; $v_i$: a column of `down_proj`; $n$ old units, $m$ new ones
# - $c(j)$: the old unit that new unit $j$ is a copy of, `copies[j]`; every old unit occurs
#
# (Net2Net, section 2.3, equations 3 and 4.) In a Llama block both sums over heads and over inner units end in a
# projection without bias, `o_proj` and `down_proj`. Both have to be zero for the block to be silent.

# %% [markdown]
# ## You write: wider
#
# <details><summary>Hint</summary>
# Three matrices a block have inner units on one of their axes. Which axis, and what does `torch.bincount` of the
# copies tell you?
# </details>

# %% nbgrader={"grade_id": "widen_ffn", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.growing import widen_ffn

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_widen_ffn", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
@probe
def widened(widen_ffn, state, copies):
    before = {key: value.clone() for key, value in state.items()}
    tracked = {key: value.clone().requires_grad_() for key, value in state.items()}
    gradients = [value.requires_grad for value in widen_ffn(tracked, copies).values()]
    made = widen_ffn(state, copies)
    evidence = {key: value.detach().clone() for key, value in made.items()}
    for value in made.values():
        value.data.zero_()
    return {
        "made": evidence,
        "untouched": all(bool((state[key] == before[key]).all()) for key in before),
        "tracked": any(gradients),
    }


state = {
    "model.layers.0.mlp.gate_proj.weight": torch.tensor([[1.0], [3.0]]),
    "model.layers.0.mlp.up_proj.weight": torch.tensor([[2.0], [4.0]]),
    "model.layers.0.mlp.down_proj.weight": torch.tensor([[5.0, -1.0]]),
    "lm_head.weight": torch.ones(3, 1),
}
made = widened(widen_ffn, state, torch.tensor([0, 1, 0]))["made"]
checks.assert_close(
    made["model.layers.0.mlp.gate_proj.weight"],
    [[1.0], [3.0], [1.0]],
    "rows of the gate, by hand",
    hint="row j of the new matrix is row copies[j] of the old one",
)
checks.assert_close(
    made["model.layers.0.mlp.down_proj.weight"],
    [[2.5, -1.0, 2.5]],
    "outgoing columns, by hand",
    hint="unit 0 has two copies, so each of them gets half of its column",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("widen_ffn")
source = llama(3, 40, 16).double().eval()
for parameter in source.parameters():
    parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
state = source.state_dict()
extra = torch.randint(8, (15,), generator=generator)
copies = torch.cat([torch.arange(40), extra, extra[:4]])[torch.randperm(59, generator=generator)]
evidence = widened(widen_ffn, state, copies)
rows = {"input_ids": torch.randint(2, 512, (3, 20), generator=generator)}
grown = llama(3, 59, 16).double().eval()
checks.assert_equal(sorted(evidence["made"]), sorted(state), "keys", hint="widening adds no key")
grown.load_state_dict(evidence["made"])
checks.assert_close(
    evaluation.logits(grown, rows),
    evaluation.logits(source, rows),
    "logits of the widened Llama, in float64",
    atol=1e-8,
    hint="divide each column by the number of copies of its own unit; every block, gate and up alike",
)
for key, value in evidence["made"].items():
    if "mlp" not in key:
        wanted = state[key]
    elif "down" in key:
        wanted = state[key][:, copies] / (copies[:, None] == copies[None]).sum(1)
    else:
        wanted = state[key][copies]
    checks.assert_close(
        value, wanted, key, atol=1e-12, hint="unit j is a copy of unit copies[j], in this order"
    )
checks.assert_true(evidence["untouched"], "small model unchanged", hint="clone every tensor")
checks.assert_equal(evidence["tracked"], False, "copies carry no gradient", hint="detach")
for name, bad in (
    ("unit 0 is lost", torch.cat([torch.arange(1, 40), torch.arange(1, 9)])),
    ("there is no such unit", torch.arange(41)),
):
    checks.assert_raises(
        "ValueError", widen_ffn, state, bad, label=f"refused: {name}", hint="each old unit, and no other"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: deeper
#
# A new block comes directly after a block that is there, and starts as its copy with two matrices set to zero. The
# copy is a choice. Any weights would do for the function, but zeros everywhere would never learn: the gradient of
# each of two factors is multiplied by the other.
#
# <details><summary>Hint</summary>
# Write down the order of all blocks, old and new, before you make a single key. What is the new number of each?
# </details>

# %% nbgrader={"grade_id": "deepen", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.growing import deepen

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_deepen", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
@probe
def deepened(deepen, state, after):
    before = {key: value.clone() for key, value in state.items()}
    tracked = {key: value.clone().requires_grad_() for key, value in state.items()}
    gradients = [value.requires_grad for value in deepen(tracked, after).values()]
    made = deepen(state, after)
    evidence = {key: value.detach().clone() for key, value in made.items()}
    for value in made.values():
        value.data.add_(1)
    return {
        "made": evidence,
        "untouched": all(bool((state[key] == before[key]).all()) for key in before),
        "tracked": any(gradients),
    }


state = {}
for block in range(2):
    state[f"model.layers.{block}.self_attn.o_proj.weight"] = torch.full((2, 2), 10.0 + block)
    state[f"model.layers.{block}.mlp.up_proj.weight"] = torch.full((3, 2), 20.0 + block)
    state[f"model.layers.{block}.mlp.down_proj.weight"] = torch.full((2, 3), 30.0 + block)
made = deepened(deepen, state, [0])["made"]
checks.assert_equal(
    [float(made[f"model.layers.{block}.mlp.up_proj.weight"].mean()) for block in range(3)],
    [20.0, 20.0, 21.0],
    "origin of three blocks",
    hint="the new block stands directly after block 0, is its copy, and block 1 becomes block 2",
)
checks.assert_equal(
    [float(made[f"model.layers.{block}.mlp.down_proj.weight"].mean()) for block in range(3)],
    [30.0, 0.0, 31.0],
    "down projections of three blocks",
    hint="those of the new block are zero",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("deepen")
for depth, after in ((4, [0, 1, 2, 3]), (3, [2]), (12, [0, 9, 10]), (2, []), (11, [1, 10])):
    source = llama(depth, 24, 16).double().eval()
    for parameter in source.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    state = source.state_dict()
    evidence = deepened(deepen, state, after)
    case = f"{depth} blocks, new ones after {after}"
    order = sorted([(block, 0) for block in range(depth)] + [(block, 1) for block in after])
    wanted = {key: value for key, value in state.items() if ".layers." not in key}
    for place, (block, new) in enumerate(order):
        for key, value in state.items():
            if key.startswith(f"model.layers.{block}."):
                name = key.split(".", 3)[3]
                zero = new and name in ("self_attn.o_proj.weight", "mlp.down_proj.weight")
                wanted[f"model.layers.{place}.{name}"] = value * (0 if zero else 1)
    checks.assert_equal(
        sorted(evidence["made"]),
        sorted(wanted),
        f"keys, {case}",
        hint="all blocks are numbered anew; what belongs to no block comes along",
    )
    grown = llama(depth + len(after), 24, 16).double().eval()
    grown.load_state_dict(evidence["made"])
    rows = {"input_ids": torch.randint(2, 512, (2, 9), generator=generator)}
    checks.assert_close(
        evaluation.logits(grown, rows),
        evaluation.logits(source, rows),
        f"logits in float64, {case}",
        atol=1e-8,
        hint="both output projections of a new block are zero, and the old blocks keep their order",
    )
    for key, value in wanted.items():
        checks.assert_close(
            evidence["made"][key],
            value,
            f"{key}, {case}",
            hint="a new block is a copy of the one before it but for two matrices",
        )
    checks.assert_true(evidence["untouched"], f"small model unchanged, {case}", hint="clone every tensor")
    checks.assert_equal(evidence["tracked"], False, f"copies carry no gradient, {case}", hint="detach")
### END HIDDEN TESTS

# %% [markdown]
# ## You write: an optimizer that goes on
#
# AdamW keeps three tensors for a parameter: `step`, and running means of the gradient and of its square, `exp_avg` and
# `exp_avg_sq`. They hang on the parameter object. A grown model has new objects: the old optimizer trains none of
# them, and a new one has forgotten everything.
#
# <details><summary>Hint 1</summary>
# `optimizer.state` is a dict from parameters to dicts. Names lead from one model to the other.
# </details>
# <details><summary>Hint 2</summary>
# Where does an optimizer hold the learning rate that a schedule has changed? `optimizer.defaults` holds the one it
# was made with.
# </details>

# %% nbgrader={"grade_id": "grow_optimizer", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.growing import grow_optimizer

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_grow_optimizer", "solution": false, "grade": true, "locked": true, "points": 7, "schema_version": 3, "task": false}
@probe
def carried(grow_optimizer, small, large, gradients, origin, made_with, rate):
    import torch
    from torch import nn

    before, after = nn.Module(), nn.Module()
    for model, values in ((before, small), (after, large)):
        for key, value in values.items():
            model.register_parameter(key, nn.Parameter(value.clone()))
    optimizer = torch.optim.AdamW(before.parameters(), **made_with)
    for step in gradients:
        for key, parameter in before.named_parameters():
            parameter.grad = step[key].clone() if key in step else None
        optimizer.step()
    optimizer.param_groups[0]["lr"] = rate
    grown = grow_optimizer(optimizer, before, after, origin)
    group = grown.param_groups[0]
    names = {id(parameter): key for key, parameter in after.named_parameters()}
    evidence = {
        "held": [[names.get(id(one), "unknown") for one in part["params"]] for part in grown.param_groups],
        "settings": [group["lr"], *group["betas"], group["eps"], group["weight_decay"]],
        "state": {
            key: {name: value.clone() for name, value in grown.state[parameter].items()}
            for key, parameter in after.named_parameters()
            if grown.state.get(parameter)
        },
    }
    for parameter in after.parameters():
        parameter.grad = torch.ones_like(parameter)
    grown.step()
    old = [optimizer.state[parameter] for parameter in before.parameters() if parameter in optimizer.state]
    return {
        **evidence,
        "kind": type(grown).__name__,
        "after": {key: parameter.detach().clone() for key, parameter in after.named_parameters()},
        "old": [{name: value.clone() for name, value in part.items()} for part in old],
    }


small = {"a": torch.ones(3), "b": torch.ones(2, 2)}
large = {"a": torch.ones(3), "b": torch.ones(2, 2), "fresh": torch.ones(4)}
step = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.ones(2, 2)}
evidence = carried(
    grow_optimizer, small, large, [step], {"a": "a", "b": "b"}, {"lr": 0.1, "weight_decay": 0.0}, 0.1
)
checks.assert_equal(
    evidence["held"],
    [["a", "b", "fresh"]],
    "parameters of the optimizer",
    hint="all of the grown model, the new ones too",
)
checks.assert_close(
    evidence["state"].get("a", {}).get("exp_avg", torch.zeros(3)),
    [0.1, 0.2, 0.3],
    "running mean of the gradient of a",
    atol=1e-6,
    hint="0.1 times the gradient after one step; it belongs to the old parameter and goes over by name",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("grow_optimizer")
for number, steps in enumerate((3, 1, 5), start=1):
    shapes = {"one": (4,), "two": (3, 2), "three": (5,), "four": (2, 2), "idle": (3,)}
    small = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    grown_shapes = {
        "zero": (4,),
        "third": (5,),
        "first": (4,),
        "second": (6, 2),
        "fourth": (2, 2),
        "rest": (3,),
    }
    large = {key: torch.randn(shape, generator=generator) for key, shape in grown_shapes.items()}
    origin = {"first": "one", "second": "two", "third": "three", "fourth": "four", "rest": "idle"}
    gradients = [
        {key: torch.randn(shapes[key], generator=generator) for key in list(shapes)[:4]} for _ in range(steps)
    ]
    rates = (0.05 + 0.1 * torch.rand(2, generator=generator)).tolist()
    made_with = {"lr": rates[0], "betas": (0.8, 0.97), "eps": 1e-6, "weight_decay": 0.3}
    evidence = carried(grow_optimizer, small, large, gradients, origin, made_with, rates[1])
    case = f"case {number}"
    checks.assert_equal(
        evidence["held"],
        [list(large)],
        f"parameters, {case}",
        hint="each parameter of the grown model once, in order",
    )
    checks.assert_close(
        evidence["settings"],
        [rates[1], 0.8, 0.97, 1e-6, 0.3],
        f"learning rate, betas, eps and weight decay, {case}",
        rtol=1e-6,
        hint="those in the group now: a schedule has changed the learning rate since the start",
    )
    wanted, moments = {}, {}
    for name, old in (("first", "one"), ("third", "three"), ("fourth", "four")):
        mean, square = torch.zeros(shapes[old]), torch.zeros(shapes[old])
        for step in gradients:
            mean, square = 0.8 * mean + 0.2 * step[old], 0.97 * square + 0.03 * step[old] ** 2
        moments[name] = {"step": torch.tensor(float(steps)), "exp_avg": mean, "exp_avg_sq": square}
    checks.assert_equal(
        sorted(evidence["state"]),
        sorted(moments),
        f"parameters with a state, {case}",
        hint="those that continue a parameter of the same shape that has one; by name, not by place",
    )
    for name, parts in moments.items():
        for key, value in parts.items():
            checks.assert_close(
                evidence["state"][name][key],
                value,
                f"{key} of {name}, {case}",
                atol=1e-5,
                hint="a copy of the old one",
            )
    for name, value in large.items():
        state = moments.get(name, {"step": 0.0, "exp_avg": torch.zeros(()), "exp_avg_sq": torch.zeros(())})
        count = float(state["step"]) + 1
        mean = (0.8 * state["exp_avg"] + 0.2) / (1 - 0.8**count)
        square = (0.97 * state["exp_avg_sq"] + 0.03) / (1 - 0.97**count)
        wanted[name] = value * (1 - 0.3 * rates[1]) - rates[1] * mean / (square.sqrt() + 1e-6)
        checks.assert_close(
            evidence["after"][name],
            wanted[name],
            f"{name} after one more step, {case}",
            atol=1e-4,
            hint="old parameters go on with their moments, new ones start",
        )
    for place, key in enumerate(("first", None, "third", "fourth")):
        if key:
            checks.assert_close(
                evidence["old"][place]["exp_avg"],
                moments[key]["exp_avg"],
                f"old optimizer's moments of {key} after that step, {case}",
                atol=1e-5,
                hint="clone the tensors: a step of the new optimizer must not change the old one",
            )
checks.assert_equal(evidence["kind"], "AdamW", "kind of optimizer", hint="torch.optim.AdamW")
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# A Llama of two blocks is trained for 60 steps on the text. Then it grows to four blocks in three ways and is trained
# for 30 more:
#
# - `deepen` after each block, with the optimizer carried over;
# - `deepen`, and the optimizer forgets the new blocks;
# - stacking: each block twice, one after the other, nothing set to zero, with a new optimizer.
#
# And two blocks may go on for 30 steps without growing. Which curve jumps at step 60? Which is lowest at step 90? The
# cells take about 20 seconds.

# %%
train = data.tensors(data.prose()["train"], length=TOKENS)
validation = data.tensors(data.prose()["validation"], length=TOKENS, limit=128)


def adam(model: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)


def go_on(model: nn.Module, optimizer: torch.optim.AdamW, steps: int, seed: int) -> list[float]:
    """Train on the text at a constant learning rate; return the losses, in nats."""
    rows, losses = training.batches(train, 16, seed=seed), []
    for _ in range(steps):
        value = training.loss(model.train(), next(rows))
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_([one for group in optimizer.param_groups for one in group["params"]], 1.0)
        optimizer.step()
        losses.append(value.item())
    model.eval()
    return losses


# %%
small = llama(2)
optimizer = adam(small)
first = go_on(small, optimizer, 60, seed=1)
trained = {key: value.clone() for key, value in small.state_dict().items()}
# The blocks 0 and 1 become 0 and 2; the new ones are 1 and 3.
origin = {name.replace("layers.1.", "layers.2."): name for name, _ in small.named_parameters()}

deep, frozen, stacked = (llama(4).eval() for _ in range(3))
for model in (deep, frozen):
    model.load_state_dict(deepen(small.state_dict(), [0, 1]))
stacked.load_state_dict(small.state_dict(), strict=False)
for place in (2, 3):
    stacked.model.layers[place].load_state_dict(small.model.layers[place - 2].state_dict())

optimizers = {
    "deeper": grow_optimizer(optimizer, small, deep, origin),
    "new blocks forgotten": torch.optim.AdamW(
        [one for name, one in frozen.named_parameters() if name in origin], lr=4e-3, weight_decay=0.0
    ),
    "stacked": adam(stacked),
    "two blocks go on": optimizer,
}
models = {"deeper": deep, "new blocks forgotten": frozen, "stacked": stacked, "two blocks go on": small}
grown = {name: evaluation.quality(model, validation)[1] for name, model in models.items()}
curves = {name: go_on(model, optimizers[name], 30, seed=2) for name, model in models.items()}

# %%
figure, axes = plots.figure(
    alt="Training loss over optimizer steps 40 to 90; growth at step 60. Before, it falls from 5.2 to 4.5. After it, "
    "deeper and two blocks that go on lie on each other and fall to 4.0; with forgotten blocks the loss rises to 4.7 for "
    "three steps and then stays 0.05 above them; stacked jumps to 5.1, is at 4.7 a "
    "step or two later, and stays about 0.1 above the others."
)
axes.plot(range(40, 60), first[40:], color="black", linewidth=1.2)
axes.axvline(59.5, color="#888888", linewidth=0.8, linestyle="--")
for place, (name, curve) in enumerate(curves.items()):
    axes.plot(
        range(60, 90),
        curve,
        color=plots.SHADES[place],
        linestyle=plots.DASHES[place],
        label=name,
        linewidth=1.6,
    )
axes.set_xlabel("optimizer steps (dashed: growth)")
axes.set_ylabel("training loss (nats per token)")
axes.legend()
plots.show(figure)

# %% [markdown]
# ## Measure
#
# Two more models. One has twice as many inner units; it is measured as grown and after five steps. The other has four
# blocks from the start, and 60 steps: 240 times a block and a step, as many as 60 steps with two blocks and 30 with
# four.

# %%
copies = torch.cat([torch.arange(384), torch.randperm(384, generator=torch.Generator().manual_seed(1))])
wide = llama(2, 768).eval()
wide.load_state_dict(widen_ffn(trained, copies))
grown["wider"] = evaluation.quality(wide, validation)[1]
go_on(wide, adam(wide), 5, seed=2)
twins = wide.model.layers[0].mlp.gate_proj.weight.detach()
apart = (twins[384:] - twins[copies[384:]]).abs().max()
print(f"largest difference between a unit and its copy after five steps: {apart:.1g}")

models["four from the start"] = llama(4)
from_start = go_on(models["four from the start"], adam(models["four from the start"]), 60, seed=1)
table = evaluation.report(models, validation, latency_rows=1, repeats=3)
print(evaluation.show(table[["parameters", "MACs a row", "perplexity"]]))
print({name: round(value, 3) for name, value in grown.items()})

# %% [markdown]
# As grown, three of the models have the small one's perplexity to all digits, 97.783. Stacking has 106.289: its jump
# is small here, because two blocks that have seen 60 steps do not do very different things. After 30 steps it is still
# four points behind the silent blocks, 69.5 against 65.2.
#
# Four blocks from the start, with the same number of blocks times steps, reach 117. So growing pays, on these few
# steps: 65 for the same computing. But look at the row above it. Two blocks that go on without growing have 66.2 with
# little more than half of the parameters. The gain is that of a small model in its early steps. When the deep model
# must be had, start it small; that depth itself is worth something, 30 steps do not show.
#
# The difference between a unit and its copy is exactly 0 after five steps. Equal weights get equal gradients, so the
# wide model can do what the narrow one could, and no more, until something tells them apart: noise on one of the two,
# or dropout. All curves and the table are one run each.

# %% [markdown]
# ## What goes wrong
#
# - **Outgoing weights not divided.** The block's output is too large, by the number of copies. By hand above it is 14
#   in place of 4. Perplexity jumps at once, so you notice.
# - **New parameters missing from the optimizer.** Nothing complains. The second curve of the plot falls like the
#   others and ends at 67.4 instead of 65.2: two blocks that carry two silent ones along, with a new optimizer.
# - **A new optimizer for old parameters.** Adam's first step with an empty state has the full learning rate in every
#   entry, whatever the gradient's size. It is the jump after step 60 that both curves without the old state show, and
#   part of what is called a growth shock.
# - **All of the new block zero.** The function is preserved, and stays preserved: a product of two zeros has no
#   gradient in either.

# %% [markdown]
# ## At full size
#
# The cell inserts one silent block into a published Llama and counts its parameters. Where the weights or a GPU are
# missing, it says so in one line.

# %%
try:
    full = zoo.load("llama", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    state = deepen(full.state_dict(), [full.config.num_hidden_layers // 2])
    print(f"{sum(value.numel() for value in state.values()):,} parameters")

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), section 11:
#   growing without changing the function.
# - Chen et al. 2015 (arXiv 1511.05641): Net2Net; section 2 is four pages and has both operations.
# - Gong et al. 2019 (ICML): stacking, for BERT; why upper layers can start as lower ones.
# - Chen et al. 2021 (arXiv 2110.07143): bert2BERT, also for heads and widths.
# - Wang et al. 2023 (arXiv 2303.00980): the map from small to large is learned.
