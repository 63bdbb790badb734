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
# # Joint search and pruning
#
# You search for the shape of a network and for its sparsity in one go, within one number of evaluations, and find out
# what that buys.
#
# | | |
# |---|---|
# | You will be able to | put accuracy and a budget into one number, search along two axes without paying twice, and compare searches fairly |
# | Time | about 75 minutes |
# | Points | 22 of the lab's 100, all autograded |
# | You need | subnets as lists of heads and inner widths (notebook 01); pruning the smallest weights (Lab 3.5); standard errors |
# | Papers | Wang et al. 2020, APQ (arXiv 2006.08509); Tan et al. 2019, MnasNet (arXiv 1807.11626); Akiba et al. 2019, Optuna (arXiv 1907.10902) |

# %% [markdown] lang="zh-TW"
# # 聯合搜尋與剪枝
#
# 你會在同一個評估次數之內，同時搜尋網路的形狀與稀疏度，並查明這樣做能得到什麼。
#
# | | |
# |---|---|
# | 完成後你能 | 把準確率與預算合為一個數字、沿兩個軸搜尋而不重複付費，並公平比較各種搜尋 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 22 分，全部自動評分 |
# | 先備知識 | 以頭數與內層寬度的串列表示的子網路（筆記本 01）；剪去最小的權重（實驗 3.5）；標準誤 |
# | 論文 | Wang et al. 2020, APQ (arXiv 2006.08509)；Tan et al. 2019, MnasNet (arXiv 1807.11626)；Akiba et al. 2019, Optuna (arXiv 1907.10902) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import contextlib
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from labkit import checks, compat, data, evaluation, ops, plots, runtime, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=384)
supernet = zoo.load("supernet")
validation = data.tensors(data.fashion()["validation"])
HEADS, FFN = [1, 2, 3, 4], [32, 64, 128, 256]
SPARSITIES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
WHOLE = {"heads": [4] * 6, "ffn": [256] * 6}
BUDGET = 29_491  # a tenth of the 294,912 weights in the matrices of the six layers
PENALTY = 1.0

# %% [markdown]
# Three functions that the searches below share. `pruned_network` makes a network of a subnet's own size, copies the
# corner of each matrix of the supernet that fits, and zeroes the smallest weights in every matrix of its layers.
# `kept_weights` counts what is left there.


# %%
def pruned_network(subnet: dict[str, list[int]], sparsity: float) -> nn.Module:
    """A subnet as a network of its own, with this share of each of its layers' matrices set to zero."""
    network = zoo.build("supernet", **subnet).eval()
    every = supernet.state_dict()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(every[name][tuple(slice(size) for size in weight.shape)])
            if name.startswith("layers.") and weight.ndim == 2:
                order = weight.abs().flatten().argsort()
                weight.view(-1)[order[: round(sparsity * len(order))]] = 0.0
    return network


def kept_weights(network: nn.Module) -> int:
    """Weights in the matrices of the layers that are not zero."""
    return sum(int(layer.weight.count_nonzero()) for layer in ops.linear_layers(network.layers).values())


def accuracy_on(network: nn.Module, rows: slice) -> float:
    """Accuracy on some of the validation pictures."""
    with torch.no_grad():
        answers = network(validation["pixel_values"][rows]).argmax(-1)
    return (answers == validation["labels"][rows]).float().mean().item()


# %% [markdown]
# ## Why
#
# Labs 3.5 to 3.7 zeroed weights of a given network; notebook 02 chose a network and kept all its weights. Both save
# weights, and with the supernet's 294,912 you may keep a tenth. Zeroing the smallest nine tenths of the whole network
# leaves 0.238 of its 0.827 accuracy. One layer of 3 heads and 128 channels fits the budget unpruned and has 0.780. In
# between lie networks that are somewhat too large and somewhat pruned. Do the two savings add up?

# %% [markdown]
# ## By hand
#
# The budget is 100 weights, and keeping twice as many costs 1. Network A has accuracy 0.80 and keeps 90 weights: its
# objective is 0.80. B has 0.83 and keeps 120: $0.83 - 1 \cdot (120 / 100 - 1) = 0.63$. C has 0.78 and keeps 50: 0.78.
# Within the budget fewer weights count for nothing, and A is the best.
#
# Now objectives of three structures at three sparsities:
#
# | | 0.0 | 0.3 | 0.6 |
# |---|---|---|---|
# | small | 0.70 | 0.69 | 0.60 |
# | medium | 0.74 | 0.78 | 0.72 |
# | whole | -1.00 | -0.20 | 0.50 |
#
# You may look at six entries. The search for a structure asks for (small, 0.0) and (medium, 0.0) and finds medium
# with 0.74. The search for a sparsity asks for (whole, 0.3) and (whole, 0.6) and finds 0.6 with 0.50. Two evaluations
# are left. The best pair so far is (medium, 0.0); a neighbour of it is (medium, 0.3) with 0.78, the new best; a
# neighbour of that is (small, 0.3) with 0.69. The joint search ends with (medium, 0.3).
#
# The two winners put together would be (medium, 0.6) with 0.72, less than (medium, 0.0): the best of each axis do not
# make the best pair. And a search that gave each axis six evaluations and the pairs six more would have looked at all
# nine entries; that it finds the best one is then no merit of searching jointly.

# %% [markdown]
# ## Formula
#
# $$ J(a, s) = A(a, s) - \lambda \max\Big(0, \frac{n(a, s)}{B} - 1\Big) $$
#
# - $A$: "accuracy" of structure $a$ pruned to sparsity $s$; $n$: its "kept" weights
# - $B$: "budget"; $\lambda$: "penalty"
#
# MnasNet (Tan et al. 2019, equation 2) multiplies by a power of latency over target instead; both make one number of
# two. The joint search chooses
#
# $$ (a, s) = \arg\max_{P} J, \qquad P = \{(a_i, 0)\} \cup \{(a_{whole}, s_j)\} \cup \{\text{proposals}\}, \qquad |P| \le E $$
#
# with $E$ the "evaluations" altogether. As both axes are part of $P$, its winner is never worse than either of
# theirs.

# %% [markdown]
# ## You write: the objective

# %% nbgrader={"grade_id": "joint_objective", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.joint_search import joint_objective

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_joint_objective", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
checks.assert_close(
    joint_objective(0.83, 120, 100, 1.0),
    0.63,
    "a network a fifth above the budget",
    atol=1e-6,
    hint="the share above the budget, 0.2, times the penalty is taken off",
)
checks.assert_close(
    joint_objective(0.8, 90, 100, 1.0),
    0.8,
    "a network within the budget",
    atol=1e-6,
    hint="below the budget nothing is taken off and nothing is added",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("joint_objective")
for above in (False, True):
    found, expected = [], []
    for _ in range(4):
        accuracy, share, penalty = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        budget = int(torch.randint(50, 5000, (), generator=generator))
        penalty = 4 * penalty + 0.2
        kept = int(budget * (1.5 + 6 * share)) if above else int(budget * 0.95 * share)
        found.append(joint_objective(accuracy, kept, budget, penalty))
        expected.append(accuracy - (penalty * (kept - budget) / budget if above else 0.0))
    checks.assert_close(
        found,
        expected,
        f"four networks {'far above' if above else 'below'} the budget",
        atol=1e-6,
        hint="accuracy - penalty * max(0, kept / budget - 1): relative to the budget, and without a limit",
    )
checks.assert_close(
    [joint_objective(0.7, 64, 64, 3.0), joint_objective(0.7, 640, 64, 0.0), joint_objective(0.7, 0, 64, 3.0)],
    [0.7, 0.7, 0.7],
    "exactly the budget, no penalty, nothing kept",
    atol=1e-6,
    hint="the budget itself is allowed; a penalty of 0 takes nothing off",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the search
#
# `evaluate` and `propose` are functions that you are given. A pair is a tuple `(subnet, sparsity)`. Keep a list of
# the pairs that were evaluated and one of their objectives: dictionaries can not be keys of a dictionary, but `pair
# in known` compares them.
#
# <details><summary>Hint</summary>
# Which three things does every evaluation have to do, whichever of the three phases it belongs to? Write that as one
# inner function that takes a pair, and let it say whether the pair was new.
# </details>

# %% nbgrader={"grade_id": "joint_search", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.joint_search import joint_search

# %% [markdown]
# ### Check: who asks for what
#
# The probe gives your function an `evaluate` that looks objectives up in a table and writes down what it was asked,
# and a `propose` that reads from a list.


# %% nbgrader={"grade_id": "test_joint_search", "solution": false, "grade": true, "locked": true, "points": 11, "schema_version": 3, "task": false}
@probe
def searched(joint_search, table, structures, sparsities, whole, moves, evaluations):
    asked, near = [], []

    def key(structure, sparsity):
        return f"{structure['heads']} {structure['ffn']} {float(sparsity):.2f}"

    def evaluate(structure, sparsity):
        if len(asked) >= 500:
            raise RuntimeError("evaluate was called 500 times")
        asked.append(key(structure, sparsity))
        return table.get(asked[-1], -1.0)

    def propose(structure, sparsity):
        if len(near) >= 1500:
            raise RuntimeError("propose was called 1500 times and the search did not end")
        near.append(key(structure, sparsity))
        move = moves[(len(near) - 1) % len(moves)]
        return {"heads": list(move[0]["heads"]), "ffn": list(move[0]["ffn"])}, move[1]

    found = joint_search(evaluate, structures, sparsities, whole, propose, evaluations=evaluations)
    names = ("structure", "sparsity", "joint")
    return {
        "asked": asked,
        "near": near,
        "winners": [key(*found[name]) for name in names],
        "scores": [float(value) for value in found["scores"]],
        "calls": int(found["calls"]),
    }


small, medium, whole = ({"heads": [n], "ffn": [16 * n]} for n in (1, 2, 4))
table = {"[1] [16] 0.00": 0.7, "[1] [16] 0.30": 0.69, "[2] [32] 0.00": 0.74, "[2] [32] 0.30": 0.78,
         "[4] [64] 0.30": -0.2, "[4] [64] 0.60": 0.5}  # fmt: skip
found = searched(
    joint_search, table, [small, medium], [0.3, 0.6], whole, [[medium, 0.3], [small, 0.3]], evaluations=6
)
checks.assert_equal(
    found["asked"],
    ["[1] [16] 0.00", "[2] [32] 0.00", "[4] [64] 0.30", "[4] [64] 0.60", "[2] [32] 0.30", "[1] [16] 0.30"],
    "pairs evaluated in the search worked out by hand",
    hint="structures at sparsity 0, then sparsities on the whole network, then proposals",
)
checks.assert_equal(
    found["winners"],
    ["[2] [32] 0.00", "[4] [64] 0.60", "[2] [32] 0.30"],
    "best structure, best sparsity, best pair",
    hint="the best of each search, and the best of everything that was evaluated",
)
### BEGIN HIDDEN TESTS
from reference_impl.pruning.hidden_inputs_joint import joint_case
from reference_impl.pruning.joint_search import joint_search as expected_search

generator = checks.hidden_generator("joint_search")
for number, settings in enumerate(
    (
        {"more": 9},
        {"more": 6, "axis": "structure"},
        {"more": 6, "axis": "sparsity"},
        {"more": 0},
        {"more": 12, "ties": True},
    )
):
    case = joint_case(generator, **settings)
    expected = case.run(expected_search)
    found = searched(joint_search, *case.arguments(), evaluations=case.evaluations)
    label = (
        f"search {number + 1} with {len(case.structures)} structures and {len(case.sparsities)} sparsities"
    )
    first = len(expected["asked"]) - len(expected["proposed"])
    checks.assert_equal(
        found["asked"][:first],
        expected["asked"][:first],
        f"pairs of the two searches along one axis, {label}",
        hint="structures at sparsity 0.0 in their order, then sparsities on whole; a known pair is looked up",
    )
    checks.assert_equal(
        found["near"],
        expected["near"],
        f"pairs that proposals were asked for, {label}",
        hint="always the best pair so far, of both axes and all proposals; of equals the earliest",
    )
    checks.assert_equal(
        found["asked"],
        expected["asked"],
        f"all pairs that were evaluated, {label}",
        hint="each proposal that is new, once, until the evaluations are used up",
    )
    checks.assert_equal(
        found["winners"],
        expected["winners"],
        f"best structure, best sparsity and best pair, {label}",
        hint="of equal objectives the earliest; the joint winner may be a winner of one axis",
    )
    checks.assert_close(
        found["scores"],
        expected["scores"],
        f"objectives of the three winners, {label}",
        atol=1e-9,
        hint="in the order structure, sparsity, joint; joint is at least as large as the other two",
    )
### END HIDDEN TESTS

# %% [markdown]
# ### Check: what it costs
#
# A second probe writes down every pair that was evaluated and every call of `propose`; the checks count them.


# %% nbgrader={"grade_id": "test_joint_budget", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def spent(joint_search, table, structures, sparsities, whole, moves, evaluations):
    made, proposals = [], []

    def evaluate(structure, sparsity):
        made.append(f"{structure['heads']} {structure['ffn']} {float(sparsity):.2f}")
        if len(made) > 400:
            raise RuntimeError("more than 400 evaluations")
        return table.get(made[-1], -1.0)

    def propose(structure, sparsity):
        proposals.append(sparsity)
        if len(proposals) > 1200:
            raise RuntimeError("more than 1200 proposals and no end")
        return tuple(moves[(len(proposals) - 1) % len(moves)])

    found = joint_search(evaluate, structures, sparsities, whole, propose, evaluations=evaluations)
    return {"made": made, "proposals": proposals, "calls": int(found["calls"])}


small, medium, whole = ({"heads": [n], "ffn": [16 * n]} for n in (1, 2, 4))
table = {"[1] [16] 0.00": 0.7, "[2] [32] 0.00": 0.74, "[2] [32] 0.30": 0.78, "[4] [64] 0.30": -0.2}
found = spent(
    joint_search,
    table,
    [small, medium, small, medium],
    [0.3],
    whole,
    [[medium, 0.0], [medium, 0.3]],
    evaluations=4,
)
checks.assert_equal(
    [len(found["made"]), len(set(found["made"])), found["calls"]],
    [4, 4, 4],
    "evaluations made, different pairs among them and calls reported, 4 allowed",
    hint="structures that come twice and a known proposal cost nothing; both searches and the proposals "
    "share one number of evaluations",
)
### BEGIN HIDDEN TESTS
from reference_impl.pruning.hidden_inputs_joint import joint_case, stuck_case

generator = checks.hidden_generator("joint_budget")
for more in (0, 1, 7):
    case = joint_case(generator, more=more, repeats=True)
    found = spent(joint_search, *case.arguments(), evaluations=case.evaluations)
    checks.assert_equal(
        len(found["made"]),
        case.evaluations,
        f"calls of evaluate with {case.evaluations} allowed, {more} of them for proposals",
        hint="one number for everything: what the axes leave is for the pairs; no pair is evaluated twice",
    )
    checks.assert_equal(
        [found["calls"], len(set(found["made"]))],
        [case.evaluations, case.evaluations],
        f"calls as reported and different pairs, {more} proposals",
        hint="count what was evaluated; look a pair up that was evaluated before",
    )
case = stuck_case(generator)
found = spent(joint_search, *case.arguments(), evaluations=case.evaluations)
checks.assert_equal(
    [len(found["proposals"]), found["calls"]],
    [1 + 60 + 1 + 100, 4],
    "proposals asked for and evaluations made when hardly any proposal is new",
    hint="100 known proposals in a row end the search; a new one starts the count again",
)
case = joint_case(generator, more=-1)
checks.assert_raises(
    "ValueError",
    spent,
    joint_search,
    *case.arguments(),
    evaluations=case.evaluations,
    label="fewer evaluations than the two axes need",
    hint="raise ValueError as soon as one more would be made than is allowed",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run: one budget, three ways to spend it
#
# Structures are random subnets that fit into the budget; sparsities are tried on the whole network; a proposal
# changes one choice of the best pair. `neighbour` makes such a proposal. The search scores on the first 400
# validation pictures. Where will the joint winner lie: at sparsity 0, near 0.9, or between?


# %%
def neighbour(subnet: dict, sparsity: float, generator: torch.Generator) -> tuple[dict, float]:
    """A pair that differs in one choice: heads or width of a layer, the depth by one, or the sparsity."""

    def pick(values: list) -> int | float:
        return values[int(torch.randint(len(values), (), generator=generator))]

    heads, ffn = list(subnet["heads"]), list(subnet["ffn"])
    what, place = pick([0, 1, 2, 3, 3]), pick(list(range(len(heads))))
    if what == 0:
        heads[place] = pick(HEADS)
    elif what == 1:
        ffn[place] = pick(FFN)
    elif what == 2 and len(heads) > 1 and (len(heads) == 6 or pick([True, False])):
        heads, ffn = heads[:-1], ffn[:-1]
    elif what == 2:
        heads, ffn = [*heads, pick(HEADS)], [*ffn, pick(FFN)]
    return {"heads": heads, "ffn": ffn}, pick(SPARSITIES) if what == 3 else sparsity


def random_structures(count: int, generator: torch.Generator) -> list[dict[str, list[int]]]:
    """Random subnets whose matrices fit into the budget; the network is 64 wide, a head 16."""
    fitting: list[dict[str, list[int]]] = []
    while len(fitting) < count:
        depth = int(torch.randint(1, 7, (), generator=generator))
        places = torch.randint(4, (2, depth), generator=generator).tolist()
        subnet = {"heads": [HEADS[place] for place in places[0]], "ffn": [FFN[place] for place in places[1]]}
        if 4 * 64 * 16 * sum(subnet["heads"]) + 2 * 64 * sum(subnet["ffn"]) <= BUDGET:
            fitting.append(subnet)
    return fitting


# %% [markdown]
# `search_with` runs your `joint_search` for one seed: 12 structures, 7 sparsities and 21 proposals, 40 evaluations.
# With `prune=False` the proposals keep sparsity 0, so that 39 of the same 40 evaluations go to structures: that is
# what the joint search has to beat.


# %%
seen: list[tuple[float, float, float]] = []


def evaluate(subnet: dict, sparsity: float) -> float:
    """The objective of a pair on the first 400 pictures; every call is noted in `seen`."""
    network = pruned_network(subnet, sparsity)
    accuracy, kept = accuracy_on(network, slice(400)), kept_weights(network)
    seen.append((kept / BUDGET, accuracy, sparsity))
    return joint_objective(accuracy, kept, BUDGET, PENALTY)


def search_with(seed: int, prune: bool) -> dict:
    """A search over pairs, or with prune=False over structures alone, with 40 evaluations."""
    generator = torch.Generator().manual_seed(seed)

    def propose(subnet: dict, sparsity: float) -> tuple[dict, float]:
        near = neighbour(subnet, sparsity, generator)
        return near if prune else (near[0], 0.0)

    structures = random_structures(12, generator)
    sparsities = [0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95] if prune else [0.9]
    return joint_search(evaluate, structures, sparsities, WHOLE, propose, evaluations=40)


results = {seed: (search_with(seed, True), search_with(seed, False)) for seed in (0, 1)}
for seed, (joint, alone) in results.items():
    print(seed, "structure", joint["structure"], "sparsity", joint["sparsity"][1], "joint", joint["joint"])
    objectives = [round(value, 4) for value in [*joint["scores"], alone["scores"][2]]]
    print("  objectives: structure, sparsity, joint, structures alone with 40 evaluations", objectives)

# %%
figure, axes = plots.figure(
    "All pairs that the searches evaluated",
    alt="A scatter plot, kept weights as a multiple of the budget across on a logarithmic axis and accuracy up. "
    "Unpruned pairs and those pruned to at most 0.6 form a flat band from 0.73 to 0.80. Pairs pruned to 0.7 and more "
    "lie below it and fall to 0.2; a dashed line marks the budget.",
)
for marker, label, low, high in (("o", "0", 0.0, 0.0), ("^", "0.1 to 0.6", 0.1, 0.6),
                                 ("x", "0.7 and more", 0.7, 1.0)):  # fmt: skip
    chosen = [(share, accuracy) for share, accuracy, sparsity in seen if low <= sparsity <= high]
    axes.plot(*zip(*chosen, strict=True), marker, label=label, color="black", markersize=5, fillstyle="none")
axes.axvline(1.0, linestyle="--", color="grey")
axes.set_xscale("log")
axes.set_xlabel("kept weights, as a multiple of the budget")
axes.set_ylabel("accuracy on 400 pictures")
axes.legend(loc="lower right", title="sparsity")
plots.show(figure)

# %% [markdown]
# With seed 0 the best of 12 structures has the objective 0.7575, the whole network at 90% 0.2298, and the joint
# winner 0.7825 at a sparsity of 0.3. Structures alone reach 0.7675 with the same 40 evaluations. With seed 1 it is
# 0.7650 against 0.7600. In the plot the circles and triangles are one band that rises slowly with the weights; the
# crosses lie below it wherever both have the same number of weights. Leaving out layers, heads and channels costs
# this supernet less than zeroing weights one by one, because it was trained to be cut and never to be pruned.

# %% [markdown]
# ## Measure
#
# The winners of both seeds as networks of their own, on the 600 validation pictures that no search has seen. The
# zeros are stored and multiplied here: sparsity lowers the count of kept weights, and neither the bytes nor the time
# in this table (Lab 3.5 stores sparse matrices; Lab 3.6 makes them smaller).

# %%
rest = {key: value[400:] for key, value in validation.items()}
winners = {"whole": (WHOLE, 0.0), "whole, 90% removed": (WHOLE, 0.9)}
for seed, (joint, alone) in results.items():
    winners[f"joint, seed {seed}"] = joint["joint"]
    winners[f"structure alone, seed {seed}"] = alone["joint"]
networks = {name: pruned_network(*pair) for name, pair in winners.items()}
print(evaluation.show(evaluation.report(networks, rest, latency_rows=32, repeats=3)))
for name, network in networks.items():
    print(f"{name:24s} {kept_weights(network):7,} kept weights")

# %% [markdown]
# Here the joint winners have 0.800 and 0.790, structures alone 0.788 and 0.793; the standard error of each is 0.016.
# Over five seeds, on test pictures, it is 0.791 (0.776 to 0.799) against 0.787 (0.775 to 0.795). The joint search
# buys 0.55 against sparsity alone and nothing that you could rely on against structures alone. No weight was trained
# after the search; what training would change is not measured here.

# %% [markdown]
# ## The same search by libraries
#
# nni (Neural Network Intelligence) by Microsoft has searches over structures, pruners and an experiment manager in
# one package. Its repository is archived since 2024: 3.0 is its last version, it was made for the torch of 2023, and
# nobody will mend it. It is here because published code uses it; optuna below is maintained. `compat.load_nni_nas`
# hides two remarks of nni about classes that torch has added since, and `compat.nni_in` keeps its files in one
# folder.
#
# A model space of nni is a module whose choices are made when it is built. The sequential engine evaluates one after
# another in this process. Both strategies get 40 evaluations of your objective. They draw subnets of any size: most
# random ones are above the budget.

# %%
nas = compat.load_nni_nas()
import nni
from nni.mutable import ensure_frozen


class Pairs(nas.nn.pytorch.ModelSpace):
    """A structure of one to six layers and a sparsity."""

    def __init__(self) -> None:
        super().__init__()

        def choose(label: str, values: list) -> int | float:
            return ensure_frozen(self.add_mutable(nni.choice(label, values)))

        depth = choose("depth", [1, 2, 3, 4, 5, 6])
        heads = [choose(f"heads {layer}", HEADS) for layer in range(6)]
        ffn = [choose(f"ffn {layer}", FFN) for layer in range(6)]
        self.pair = ({"heads": heads[:depth], "ffn": ffn[:depth]}, choose("sparsity", SPARSITIES))


scored: list[tuple[float, dict, float]] = []


def report_objective(model: nn.Module) -> None:
    """What nni calls for each model of the space."""
    scored.append((evaluate(*model.pair), *model.pair))
    nni.report_final_result(scored[-1][0])


# %%
def nni_search(strategy: object) -> tuple[float, dict, float]:
    """The best of 40 models, with its objective."""
    scored.clear()
    with tempfile.TemporaryDirectory() as folder, compat.nni_in(folder):
        space, evaluator = Pairs(), nas.evaluator.FunctionalEvaluator(report_objective)
        config = nas.experiment.NasExperimentConfig.default(space, evaluator, strategy)
        config.execution_engine = nas.experiment.config.SequentialEngineConfig()
        config.experiment_working_directory = folder
        config.max_trial_number = 40
        experiment = nas.experiment.NasExperiment(space, evaluator, strategy, config=config)
        experiment.run()
        experiment.stop()
    return max(scored, key=lambda one: one[0])


evolution = nas.strategy.RegularizedEvolution(population_size=12, sample_size=4, mutation_prob=0.1, seed=0)
for name, strategy in (("random", nas.strategy.Random(seed=0)), ("evolution", evolution)):
    objective, subnet, sparsity = nni_search(strategy)
    print(f"nni, {name:10s} {objective:.4f} {subnet} sparsity {sparsity}, {len(scored)} evaluations")

# %% [markdown]
# optuna calls a function, notes what it chose and what came out. Its default sampler, TPE, models which choices the
# good trials have in common. `suggest_float` tells it that sparsities are ordered; as one of eleven unordered
# categories, four seeds ended between 0.660 and 0.780, and with the order between 0.765 and 0.780.

# %%
import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)


def trial_objective(trial: optuna.Trial) -> float:
    """The same pairs, chosen by optuna."""
    depth = trial.suggest_int("depth", 1, 6)
    heads = [trial.suggest_categorical(f"heads {layer}", HEADS) for layer in range(depth)]
    ffn = [trial.suggest_categorical(f"ffn {layer}", FFN) for layer in range(depth)]
    return evaluate({"heads": heads, "ffn": ffn}, trial.suggest_float("sparsity", 0.0, 0.9, step=0.1))


study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(trial_objective, n_trials=40)
print(f"optuna, TPE  {study.best_value:.4f} {study.best_params}")

# %% [markdown]
# The best objectives of 40 evaluations were 0.7675 for nni's random strategy, 0.7550 for its evolution, 0.7800 for
# optuna and 0.7825 and 0.7650 for your search. One picture is 0.0025, the standard error on 400 pictures 0.02: this
# ranks nothing. To compare the searches you would need many seeds of each, and pictures that chose nothing.

# %% [markdown]
# ## Pruners of nni
#
# `LevelPruner` zeroes the smallest weights of each matrix, as `pruned_network` does. `L1NormPruner` scores the rows
# of a matrix by their absolute sum, and `ModelSpeedup` then makes the layers smaller. Its tracer does not get through
# the forward method of the supernet, whose arguments are optional; the feed-forward part of a layer it can trace.

# %%
compat.load_nni_speedup()
from nni.compression.pruning import L1NormPruner, LevelPruner
from nni.compression.speedup import ModelSpeedup

mine, theirs = pruned_network(WHOLE, 0.5), pruned_network(WHOLE, 0.0)
names = [f"layers.{name}" for name in ops.linear_layers(theirs.layers)]
_, masks = LevelPruner(theirs, [{"op_names": names, "sparse_ratio": 0.5}]).compress()
differ = sum(
    int(((mine.get_submodule(name).weight != 0) != (masks[name]["weight"] != 0)).sum()) for name in names
)
print(differ, "of 294,912 entries differ between the two masks")


# %%
def halved(choose_by_weight: bool) -> nn.Module:
    """The whole network with 128 inner channels a layer: those of nni's L1NormPruner, or the first ones."""
    network = pruned_network(WHOLE, 0.0)
    for layer in network.layers if choose_by_weight else ():
        part = nn.Sequential(layer.fc1, nn.GELU(), layer.fc2)
        pruner = L1NormPruner(part, [{"op_names": ["0"], "sparse_ratio": 0.5}])
        _, masks = pruner.compress()
        pruner.unwrap_model()
        layer.fc1, _, layer.fc2 = ModelSpeedup(part, torch.randn(4, 64), masks).speedup_model()
    return network if choose_by_weight else pruned_network({"heads": [4] * 6, "ffn": [128] * 6}, 0.0)


with (
    tempfile.TemporaryDirectory() as folder,
    compat.nni_in(folder),
    contextlib.redirect_stdout(io.StringIO()),
):
    halves = {"128 largest channels": halved(True), "first 128 channels": halved(False)}
for name, network in halves.items():
    print(
        f"{name}: {network.layers[0].fc1.out_features} channels, accuracy {accuracy_on(network, slice(1000)):.3f}"
    )

# %% [markdown]
# The two masks differ in 42 entries: the weights are stored in half precision, many have equal sizes, and at the
# limit one function keeps these and the other those. The 128 channels with the largest weights reach 0.817, the first
# 128 have 0.822. The supernet was trained so that its first channels work without the others (notebook 01); the size
# of a weight does not know that, and does as well within a standard error of 0.012.

# %% [markdown]
# ## An experiment of nni
#
# An `Experiment` runs trials as processes of their own under a manager with a web page. Starting and stopping takes a
# quarter of a minute, so it has only three trials, one for each depth. `compat.nni_in` makes the manager listen to
# 127.0.0.1 alone: of itself it answers everybody who can reach the machine, and it runs any command it is told. Where
# the name localhost is unknown, as it is where hand-ins are graded, the cell says so in one line.

# %%
from nni.experiment import Experiment

TRIAL = """
import nni
from labkit import data, zoo
depth = nni.get_next_parameter()["depth"]
rows = data.tensors(data.fashion()["validation"].select(range(200)))
answers = zoo.load("supernet")(rows["pixel_values"], heads=[2] * depth, ffn=[64] * depth).argmax(-1)
nni.report_final_result((answers == rows["labels"]).float().mean().item())
"""
with tempfile.TemporaryDirectory() as folder, compat.nni_in(folder) as port:
    Path(folder, "trial.py").write_text(TRIAL)
    experiment = Experiment("local")
    experiment.config.experiment_working_directory = folder
    experiment.config.trial_code_directory = folder
    experiment.config.trial_command = f"{sys.executable} trial.py"
    experiment.config.search_space = {"depth": {"_type": "choice", "_value": [1, 2, 3]}}
    experiment.config.tuner.name = "GridSearch"
    experiment.config.max_trial_number, experiment.config.trial_concurrency = 3, 1
    experiment.config.max_experiment_duration = "120s"
    try:
        experiment.run(port)
        for job in experiment.list_trial_jobs():
            accuracies = [f"{float(part.data):.3f}" for part in job.finalMetricData or []]
            print(job.status, job.hyperParameters[0].parameters, *accuracies)
    except OSError as reason:
        print("skipped:", reason)
    finally:
        experiment.stop()

# %% [markdown]
# ## What goes wrong
#
# - **The budget spent twice.** Each axis gets all evaluations, and so do the pairs. The joint search then wins by
#   having looked three times as often.
# - **The winners put together.** The best structure is one that needs no pruning, the best sparsity one that a large
#   network needs. Together they are pruned twice.
# - **Known pairs counted, or evaluated again.** Near a good pair most proposals are known. Paid for again, they eat
#   up the search.
# - **A penalty that is too small.** With a penalty of 0.01 the whole network has the objective $0.827 - 0.01 \cdot 9
#   = 0.737$, and what is twice the budget costs a hundredth: the search ends above the budget. Look at the kept
#   weights of the winner.
# - **The winner's own score.** It is the largest of 40 noisy numbers. Compare searches on pictures that chose
#   nothing.

# %% [markdown]
# ## At full size
#
# The same `joint_search` on the published BERT: how many of its first layers to run, and how sparse they are. No
# labels are at hand, so in place of an accuracy stands the cosine between the hidden states of the smaller and of the
# whole network on eight sentences; the budget is half of the weights. Where its weights or a GPU are missing, the
# cell says so in one line.
#
# On MiniLM, whose six layers install with pip, it comes out the other way round: six layers with half of their
# weights removed have 0.776, the first three layers as they are 0.543. That network was never trained to be cut.

# %%
try:
    full = zoo.load("bert", profile="full")
    tokenizer = zoo.tokenizer("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    rows = data.tensors(data.languages()["train"].select(range(8)), tokenizer=tokenizer)
    rows = {key: value.to(full.device) for key, value in rows.items() if key != "labels"}
    blocks = full.bert.encoder.layer
    sizes = [sum(part.weight.numel() for part in ops.linear_layers(block).values()) for block in blocks]

    @torch.no_grad()
    def states(layers: int, sparsity: float) -> Tensor:
        """Hidden states behind so many layers, whose smallest weights are left out."""
        pruned = {}
        for name, part in ops.linear_layers(full.bert.encoder).items():
            if sparsity and int(name.split(".")[1]) < layers:
                size = part.weight.abs().float()
                limit = size.flatten().kthvalue(round(sparsity * size.numel())).values
                pruned[f"encoder.{name}.weight"] = part.weight * (size > limit)
        arguments = {**rows, "output_hidden_states": True}
        return torch.func.functional_call(full.bert, pruned, (), arguments).hidden_states[layers].float()

    goal, real = states(len(blocks), 0.0), rows["attention_mask"].bool()

    def likeness(structure: dict, sparsity: float) -> float:
        cosine = nn.functional.cosine_similarity(states(structure["layers"], sparsity), goal, dim=-1)[
            real
        ].mean()
        kept = (1 - sparsity) * sum(sizes[: structure["layers"]])
        return joint_objective(cosine.item(), kept, 0.5 * sum(sizes), PENALTY)

    generator = torch.Generator().manual_seed(0)

    def step(structure: dict, sparsity: float) -> tuple[dict, float]:
        change = torch.randint(-1, 2, (2,), generator=generator).tolist()
        layers = min(max(structure["layers"] + change[0], 1), len(blocks))
        return {"layers": layers}, round(min(max(sparsity + 0.1 * change[1], 0.0), 0.9), 1)

    depths = [{"layers": len(blocks) // 4}, {"layers": len(blocks) // 2}]
    found = joint_search(likeness, depths, [0.3, 0.5, 0.7], {"layers": len(blocks)}, step, evaluations=16)
    for name, value in zip(("structure", "sparsity", "joint"), found["scores"], strict=True):
        print(f"{name}: {found[name]} objective {value:.3f}")

# %% [markdown]
# ## Further reading
#
# - [The chapter on pruning and sparsity](../../theory/3.2-Pruning_and_Sparsity.md): what zeros save, and what they do
#   not.
# - Wang et al. 2020 (arXiv 2006.08509): structure, pruning and bit widths in one search, with a predictor in place of
#   evaluations.
# - Tan et al. 2019 (arXiv 1807.11626): accuracy and latency in one objective, and why a soft limit beats a hard one
#   there.
# - Li & Talwalkar 2019 (arXiv 1902.07638): random search with the same number of evaluations as the baseline.
# - Akiba et al. 2019 (arXiv 1907.10902): optuna, its samplers and how it stops bad trials early.
