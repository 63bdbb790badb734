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
# # Hardware-aware search
#
# You measure once what each kind of layer adds to a network's time on this machine, predict the time of any subnet
# from it, and choose by accuracy and time together.
#
# | | |
# |---|---|
# | You will be able to | build a latency table from whole networks, separate the fixed cost from the layers, and find the Pareto front |
# | Time | about 75 minutes |
# | Points | 22 of the lab's 100, all autograded |
# | You need | subnets as lists of heads and inner widths (notebook 01); medians; why the first runs of a benchmark are not timed |
# | Papers | Cai et al. 2019, ProxylessNAS (arXiv 1812.00332); Wu et al. 2019, FBNet (arXiv 1812.03443); Jang et al. 2017, Gumbel-softmax (arXiv 1611.01144) |

# %% [markdown] lang="zh-TW"
# # 硬體感知搜尋
#
# 你會量一次每種層在這台機器上為網路增加多少時間，據此預測任何子網路的時間，並同時依準確率與時間選擇。
#
# | | |
# |---|---|
# | 完成後你能 | 從整個網路建立延遲表、把固定成本與各層分開，並找出 Pareto 前緣 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 22 分，全部自動評分 |
# | 先備知識 | 以頭數與內層寬度的串列表示的子網路（筆記本 01）；中位數；為何效能測試的頭幾次執行不計時 |
# | 論文 | Cai et al. 2019, ProxylessNAS (arXiv 1812.00332)；Wu et al. 2019, FBNet (arXiv 1812.03443)；Jang et al. 2017, Gumbel-softmax (arXiv 1611.01144) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import statistics  # your functions may use it
import time
from collections.abc import Callable

import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=383)
supernet = zoo.load("supernet")
pictures = {split: data.tensors(data.fashion()[split]) for split in ("train", "validation")}
KINDS = {f"{heads}h{inner}": (heads, inner) for heads in (1, 2, 4) for inner in (32, 64, 128, 256)}


def subnet_of(layers: list[str]) -> dict[str, list[int]]:
    """Heads and inner widths of a list of kinds such as "2h64"."""
    return {"heads": [KINDS[kind][0] for kind in layers], "ffn": [KINDS[kind][1] for kind in layers]}


def random_layers(generator: torch.Generator) -> list[str]:
    """1 to 6 random kinds."""
    names = list(KINDS)
    depth = int(torch.randint(1, 7, (), generator=generator))
    return [names[int(place)] for place in torch.randint(len(names), (depth,), generator=generator)]


def subnet_accuracy(layers: list[str], rows: dict[str, Tensor]) -> float:
    """Accuracy of a subnet with the weights it has in the supernet."""
    with torch.no_grad():
        answers = supernet(rows["pixel_values"], **subnet_of(layers)).argmax(-1)
    return (answers == rows["labels"]).float().mean().item()


# %% [markdown]
# ## Why
#
# Notebook 02 spent a budget of parameters. A user waits for milliseconds, and the two do not go together: a layer
# with 1 head and 256 channels has 4.3 times the parameters of one with 1 head and 32 channels and took 2.2 times as
# long on the machine this was written on (1.08 against 0.50 ms for 64 pictures), and 0.40 ms belonged to no layer at
# all. Timing every candidate of a search is slow. Twelve kinds of layer make 3,257,436 networks with up to six
# layers, and one table with 12 entries and a fixed cost predicts the time of each of them.

# %% [markdown]
# ## By hand
#
# A network with one layer of kind *a* takes 1.4 ms, with two of them 1.9 ms. The second layer added 0.5 ms, so the
# first did too, and 0.9 ms are left that belong to no layer. For kind *b* it is 1.7 and 2.5 ms: 0.8 ms a layer, and
# again 0.9 ms.
#
# A network with the layers *a*, *b*, *b*, *a* is predicted to take $0.9 + 0.5 + 0.8 + 0.8 + 0.5 = 3.5$ ms.
#
# Whoever takes the one-layer network's 1.4 and 1.7 ms as the cost of a layer counts the 0.9 ms four times: $1.4 + 1.7
# + 1.7 + 1.4 = 6.2$ ms. Whoever forgets the fixed cost altogether predicts 2.6 ms. Both keep the order of networks of
# equal depth and get the others wrong.

# %% [markdown]
# ## Formula
#
# $$ \ell_k = T_2(k) - T_1(k), \qquad c = \frac{1}{K} \sum_k \big( T_1(k) - \ell_k \big), \qquad
# \hat T(k_1, \dots, k_d) = c + \sum_{i=1}^{d} \ell_{k_i} $$
#
# - $T_1(k)$, $T_2(k)$: median time of a network with one and with two layers of kind $k$
# - $\ell_k$: "layers", what one layer of kind $k$ adds; $c$: "fixed"; $K$: number of kinds
#
# ProxylessNAS (section 3.3) adds the entries of such a table in the same way. The model is that layers do not disturb
# each other; the cell that compares it with the clock says how far that holds.

# %% [markdown]
# ## You write: the table

# %% nbgrader={"grade_id": "latency_table", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.latency_lookup import latency_table

# %% [markdown]
# ### Check: a pretended machine
#
# On a real machine no two tables are equal. The probe gives your function a device with a clock of its own, on which
# times add up exactly, the first rounds are slow and now and then a run stalls.


# %% nbgrader={"grade_id": "test_latency_table", "solution": false, "grade": true, "locked": true, "points": 9, "schema_version": 3, "task": false}
@probe
def pretended(latency_table, fixed, costs, slow, stalls, settings):
    state = {"now": 100.0, "readings": 0}
    runs, timed = [], []

    def clock():
        state["readings"] += 1
        state["now"] += 1e-9
        return state["now"]

    def run(layers):
        extra = stalls.get(str(len(runs)), 0.0) + (slow if len(runs) < 2 * len(costs) else 0.0)
        state["now"] += fixed + extra
        for kind in layers:
            state["now"] += costs[kind]
        runs.append(list(layers))
        timed.append(state["readings"])

    table = latency_table(run, list(costs), clock=clock, **settings)
    return {"table": table, "runs": runs, "read_before_run": timed, "readings": state["readings"]}


costs = {"a": 0.0005, "b": 0.0008}
# The first round is slow by 50 ms a run, and the sixth run, in the first timed round, stalls for 20 ms.
found = pretended(latency_table, 0.0009, costs, 0.05, {"5": 0.02}, {"warm_up": 1, "repeats": 3})
print("order of the runs:", ["".join(layers) for layers in found["runs"]])
checks.assert_equal(
    found["runs"],
    [["a"], ["a", "a"], ["b"], ["b", "b"]] * 4,
    "order of the runs",
    hint="one warm-up round and three timed ones; a round runs one layer, then two, of every kind",
)
checks.assert_close(
    [found["table"]["layers"]["a"], found["table"]["layers"]["b"]],
    [0.5, 0.8],
    "milliseconds a layer adds",
    atol=1e-4,
    hint="T2 minus T1, each a median, without the slow warm-up round. "
    f"Expected 0.5 and 0.8, found {found['table']['layers']['a']:.6f} and {found['table']['layers']['b']:.6f}: "
    "a thousandth of it means seconds, more than it that a mean has taken in the stall",
)
checks.assert_close(
    found["table"]["fixed"], 0.9, "milliseconds of the rest", atol=1e-4, hint="T1 minus what the layer adds"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("latency_table")
for count, warm_up, repeats in ((1, 1, 1), (3, 2, 5), (4, 1, 4), (2, 0, 3)):
    values = (0.001 + 0.01 * torch.rand(count, generator=generator, dtype=torch.float64)).tolist()
    costs = {f"kind {number}": value for number, value in enumerate(values)}
    fixed = 0.02 * torch.rand((), generator=generator).item()
    slow = 0.5 if warm_up else 0.0
    case = f"{count} kinds, {warm_up} rounds of warm-up, {repeats} timed"
    stalls = {}
    if repeats > 3:
        stalls = {str(2 * count * warm_up + 1): 0.7, str(2 * count * (warm_up + 1)): 0.4}
    settings = {"warm_up": warm_up, "repeats": repeats}
    found = pretended(latency_table, fixed, costs, slow, stalls, settings)
    order = [[kind] * depth for kind in costs for depth in (1, 2)]
    checks.assert_equal(
        found["runs"],
        order * (warm_up + repeats),
        f"networks in the order they ran, {case}",
        hint="a round runs one and two layers of every kind; do not finish one kind before the next",
    )
    checks.assert_equal(
        found["readings"],
        4 * count * repeats,
        f"readings of the clock, {case}",
        hint="two for each timed run, none in a warm-up round",
    )
    first = 2 * count * warm_up
    checks.assert_equal(
        found["read_before_run"],
        [0] * first + list(range(1, 4 * count * repeats, 2)),
        f"when the clock was read, {case}",
        hint="immediately before and immediately after each run",
    )
    checks.assert_close(
        [found["table"]["layers"][kind] for kind in costs],
        [1000 * value for value in values],
        f"milliseconds a layer adds, {case}",
        atol=2e-3,
        hint="medians of both depths first, then their difference; warm-up rounds are not timed",
    )
    checks.assert_close(
        found["table"]["fixed"],
        1000 * fixed,
        f"milliseconds of the rest, {case}",
        atol=2e-3,
        hint="the mean over the kinds of T1 minus the layer's entry",
    )
pair = pretended(
    latency_table,
    0.003,
    {"a": 0.001, "b": 0.002},
    0.0,
    {"0": 0.009, "3": 0.001},
    {"warm_up": 0, "repeats": 1},
)["table"]
checks.assert_close(
    [pair["layers"]["a"], pair["layers"]["b"], pair["fixed"]],
    [-8.0, 3.0, (21.0 + 2.0) / 2],
    "a table of noisy runs",
    atol=1e-3,
    hint="no clipping: a negative entry is a sign of noise that you want to see; fixed is a mean over the kinds",
)
middle = pretended(
    latency_table,
    0.004,
    {"a": 0.001},
    0.0,
    {"0": 0.008, "2": 0.002},
    {"warm_up": 0, "repeats": 4},
)["table"]
checks.assert_close(
    [middle["layers"]["a"], middle["fixed"]],
    [0.0, 6.0],
    "four timed rounds of which two were slow",
    atol=1e-3,
    hint="an even number of times: the median is the mean of the two in the middle",
)
checks.assert_raises(
    "ValueError",
    pretended,
    latency_table,
    0.1,
    {"a": 0.1},
    0.0,
    {},
    {"warm_up": 1, "repeats": 0},
    label="no timed round",
    hint="repeats below 1 is an error",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the prediction

# %% nbgrader={"grade_id": "predict_latency", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.latency_lookup import predict_latency

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_predict_latency", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
table = {"fixed": 0.9, "layers": {"a": 0.5, "b": 0.8}}
checks.assert_close(
    predict_latency(table, ["a", "b"]),
    2.2,
    "two different layers",
    atol=1e-6,
    hint="the fixed cost and both entries",
)
checks.assert_close(
    predict_latency(table, ["a", "b", "b", "a"]),
    3.5,
    "four layers, worked out by hand",
    atol=1e-6,
    hint="a kind counts as often as it occurs, the fixed cost once",
)
### BEGIN HIDDEN TESTS
checks.assert_close(predict_latency(table, []), 0.9, "no layers", atol=1e-6, hint="the fixed cost is left")
generator = checks.hidden_generator("predict_latency")
names = [f"k{number}" for number in range(5)]
entries = dict(
    zip(names, (torch.rand(5, generator=generator, dtype=torch.float64) - 0.2).tolist(), strict=True)
)
table = {"fixed": -0.35, "layers": entries}
for depth in (1, 3, 9):
    layers = [names[int(place)] for place in torch.randint(5, (depth,), generator=generator)]
    checks.assert_close(
        predict_latency(table, layers),
        -0.35 + sum(entries[kind] for kind in layers),
        f"{depth} layers of a noisy table",
        atol=1e-6,
        hint="entries may be negative: a sum, no clipping",
    )
checks.assert_raises(
    "ValueError",
    predict_latency,
    table,
    ["k0", "k7"],
    label="a kind the table lacks",
    hint="raise ValueError, do not count it as 0",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run: does the table hold?
#
# The next cells fill your table for batches of 64 pictures and then time twelve random networks as wholes,
# interleaved. The clock is `time.perf_counter`, the wall clock. `time.process_time` counts only what this process
# computes, so other programs disturb it less, but on a virtual machine it can stand still for longer than a run: once
# it gave a network 0 ms. If layers did not disturb each other, all points would lie on the line. How far off do you
# expect a network of six layers, whose time is the sum of seven numbers, each with an error of its own?

# %%
shown = pictures["validation"]["pixel_values"][:64]
networks = {}


@torch.no_grad()
def run(layers: list[str]) -> None:
    """Run a network of its own size once; its weights do not matter for its time."""
    key = tuple(layers)
    if key not in networks:
        networks[key] = zoo.build("supernet", **subnet_of(layers)).eval()
    networks[key](shown)


measured_table = latency_table(run, list(KINDS), clock=time.perf_counter, repeats=15)
print("fixed", round(measured_table["fixed"], 2), "ms")
print({kind: round(value, 2) for kind, value in measured_table["layers"].items()})

# %%
g = torch.Generator().manual_seed(1)
some = [random_layers(g) for _ in range(12)]
predicted = [predict_latency(measured_table, layers) for layers in some]
timed = evaluation.latencies(
    {str(n): lambda layers=layers: run(layers) for n, layers in enumerate(some)}, repeats=15
)
measured = [part.median for part in timed.values()]
correlation = torch.corrcoef(torch.tensor([predicted, measured]))[0, 1].item()
signed = [p / m - 1 for p, m in zip(predicted, measured, strict=True)]
print(f"correlation {correlation:.3f}, error {statistics.mean(map(abs, signed)):.1%} on average", end=", ")
print(f"with its sign {statistics.mean(signed):+.1%}")
for depth in sorted({len(layers) for layers in some}):
    errors = [e for e, layers in zip(signed, some, strict=True) if len(layers) == depth]
    print(f"{depth} layers: {len(errors)} networks, mean error {statistics.mean(errors):+.1%}")
figure, axes = plots.figure(
    "Twelve networks: predicted from the table and timed as wholes",
    alt="A scatter plot of twelve networks, predicted milliseconds across and measured ones up, with the line of "
    "equality. The points follow a line; where they lie above the line of equality the table predicts too little.",
)
axes.plot(predicted, measured, "o", color="black")
axes.plot([0, max(measured)], [0, max(measured)], "--", color="grey")
axes.set_xlabel("predicted (ms)")
axes.set_ylabel("measured (ms)")
plots.show(figure)

# %% [markdown]
# In four runs here the correlation was 0.999 or 1.000. In three of them the error was 1.4 to 2.3% on average, with
# both signs. In the fourth every depth was predicted 3 to 7% too fast: an error of one sign at all depths is a bias
# and no scatter. The table is filled before the networks are timed, and turns inside each of the two do not help when
# the machine gets slower in between. Nothing here is graded: your numbers depend on your machine.
#
# ## You write: the Pareto front
#
# With two objectives there is no best subnet, only subnets that no other one beats in both.
#
# By hand: three subnets with milliseconds and error, *p* (1.0, 0.30), *q* (2.0, 0.25) and *r* (2.0, 0.28). *q* takes
# as long as *r* and errs less: *q* dominates *r*, and nobody needs *r*. *p* is faster than *q* and *q* errs less than
# *p*: neither dominates the other. The front is *p*, *q*. In symbols, with $f_i$ the objectives, less being better:
#
# $$ u \text{ dominates } v \iff f_i(u) \le f_i(v) \text{ for all } i, \text{ and } f_i(u) < f_i(v) \text{ for some } i $$
#
# The docstring below serves models of any kind: read "subnet" for "model".

# %% nbgrader={"grade_id": "pareto_front", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.pareto import pareto_front

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_pareto_front", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
points = {"slow": [3.0, 0.2], "fast": [1.0, 0.3], "worse": [2.0, 0.4], "between": [2.0, 0.25]}
checks.assert_equal(
    pareto_front(points),
    ["fast", "between", "slow"],
    "front of four subnets",
    hint="by rising first objective",
)
checks.assert_equal(
    pareto_front({**points, "tied": [2.0, 0.28]}),
    ["fast", "between", "slow"],
    "a subnet as fast as another one and worse",
    hint="at most as large everywhere, smaller in one: that dominates",
)
checks.assert_equal(
    pareto_front({**points, "copy": [2.0, 0.25]}),
    ["fast", "between", "slow"],
    "a subnet with the objectives of another one",
    hint="of equal points the first one stays, and only that one",
)
### BEGIN HIDDEN TESTS
checks.assert_equal(
    pareto_front({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0, 3.0], "d": [0.5, 2.0]}),
    ["d"],
    "equal in one objective, better in the other",
    hint="at most as large everywhere and smaller in one: that dominates",
)
checks.assert_equal(
    pareto_front({"z": [1.0, 2.0], "y": [1.0, 2.0], "x": [0.0, 3.0]}),
    ["x", "z"],
    "two subnets with the same objectives",
    hint="the one that comes first stays",
)
checks.assert_equal(pareto_front({}), [], "no subnets", hint="an empty front")
checks.assert_equal(
    pareto_front({"a": [2.0, 1.0, 5.0], "b": [1.0, 2.0, 5.0], "c": [2.0, 2.0, 1.0], "d": [2.0, 2.0, 5.0]}),
    ["b", "a", "c"],
    "three objectives",
    hint="compare all of them; of equal first objectives the second decides the order",
)
generator = checks.hidden_generator("pareto_front")
for objectives in (1, 2, 3):
    values = torch.randint(0, 12, (60, objectives), generator=generator).double()
    points = {f"s{number}": row.tolist() for number, row in enumerate(values)}
    better = (values[:, None] <= values[None]).all(-1) & (values[:, None] < values[None]).any(-1)
    same = (values[:, None] == values[None]).all(-1) & torch.ones(60, 60).triu(1).bool()
    kept = [number for number in range(60) if not better[:, number].any() and not same[:, number].any()]
    expected = [f"s{number}" for number in sorted(kept, key=lambda one: tuple(values[one].tolist()))]
    checks.assert_equal(
        pareto_front(points),
        expected,
        f"front of 60 subnets with {objectives} objectives",
        hint="drop what another one dominates, and later copies",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Measure
#
# Forty random subnets with their predicted time and their error on 400 validation pictures, and the front among them.

# %%
part = {key: value[:400] for key, value in pictures["validation"].items()}
candidates = {"-".join(layers): layers for layers in (random_layers(g) for _ in range(40))}
points = {
    name: [predict_latency(measured_table, layers), 1 - subnet_accuracy(layers, part)]
    for name, layers in candidates.items()
}
front = pareto_front(points)
figure, axes = plots.figure(
    "Forty random subnets and their Pareto front",
    alt="A scatter plot of forty subnets, predicted milliseconds across and error up. Stairs join the subnets that no "
    "other one beats; the other points lie above and to the right of them. A cross marks the largest subnet.",
)
axes.plot(*zip(*points.values(), strict=True), "o", color="grey", markersize=4)
axes.step(*zip(*(points[name] for name in front), strict=True), "s-", where="post", color="black")
largest = ["4h256"] * 6
axes.plot(predict_latency(measured_table, largest), 1 - subnet_accuracy(largest, part), "x", color="black")
axes.set_xlabel("predicted time of 64 pictures (ms)")
axes.set_ylabel("error on 400 pictures")
plots.show(figure)

# %% [markdown]
# The front again, now measured: `as_network` copies the corner of each of the supernet's matrices that a subnet has
# into a network of its own size. The report times 64 pictures on the same clock and takes the accuracy on all 1,000
# validation pictures. Its first row is the largest subnet, which was not among the forty.


# %%
def as_network(layers: list[str]) -> nn.Module:
    """A subnet as a network of its own."""
    network = zoo.build("supernet", **subnet_of(layers)).eval()
    every = supernet.state_dict()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(every[name][tuple(slice(size) for size in weight.shape)])
    return network


chosen = {"largest": largest} | {name: candidates[name] for name in front}
for name, layers in chosen.items():
    print(f"{name:36s} predicted {predict_latency(measured_table, layers):.2f} ms")
table = evaluation.report(
    {name: as_network(layers) for name, layers in chosen.items()},
    pictures["validation"],
    latency_rows=64,
    repeats=9,
)
print(
    evaluation.show(table.drop(columns=["bits a weight", "sparsity", "times smaller", "bytes", "recovery"]))
)

# %% [markdown]
# In one run the front went from 1.0 ms and 0.758 over 2.3 ms and 0.791 to 6.2 ms and 0.810; the largest subnet took
# 9.3 ms and has 0.827. A quarter of the time keeps 96% of the accuracy. Neighbours in the middle of the front are
# 0.001 or 0.002 apart on 1,000 pictures, and the standard error of an accuracy on the 400 that chose them is 0.02:
# another 400 pictures, or another table, and one of them is replaced.

# %% [markdown]
# ## A differentiable alternative
#
# Evolution treats time as a limit. FBNet (Wu et al. 2019) makes it a part of the loss: each layer has a weight for
# each kind, a Gumbel-softmax turns them into a random mixture that gradients can pass, and the expected time, a sum
# of products of probabilities and table entries, is differentiable. Below, three layers choose among the 12 kinds
# with the supernet's weights fixed. The larger the price of a millisecond, the smaller the layers it ends with.
#
# The Gumbel-softmax with two kinds of weights 1 and 0: two random numbers, say 0.2 and 0.9, are added, and the
# softmax of (1.2, 0.9) is (0.57, 0.43). With the numbers 1.5 and −0.5 it is the softmax of (2.5, −0.5), (0.95, 0.05).
#
# `choose` learns nothing but the 36 gate weights: `gates` is a random mixture of kinds for each layer,
# `expected_time` the sum over layers of $\sum_k p_k \ell_k$.


# %%
def choose(price: float, steps: int = 40) -> list[str]:
    """Three layers by gradient descent on cross-entropy plus price times expected milliseconds."""
    weights = torch.zeros(3, len(KINDS), requires_grad=True)
    entries = torch.tensor([measured_table["layers"][kind] for kind in KINDS])
    optimizer = torch.optim.Adam([weights], lr=0.2)
    chosen = training.batches(pictures["train"], 32)
    for _ in range(steps):
        batch = next(chosen)
        patches = nn.functional.unfold(batch["pixel_values"], 7, stride=7).transpose(1, 2)
        x = supernet.embed(patches) + supernet.positions
        gates = nn.functional.gumbel_softmax(weights, tau=1.0)
        for layer, gate in zip(supernet.layers, gates, strict=False):
            x = sum(share * layer(x, *KINDS[kind]) for share, kind in zip(gate, KINDS, strict=True))
        answers = supernet.classifier(supernet.norm(x).mean(1))
        expected_time = (weights.softmax(-1) * entries).sum()
        value = nn.functional.cross_entropy(answers, batch["labels"]) + price * expected_time
        (weights.grad,) = torch.autograd.grad(value, [weights])
        optimizer.step()
    return [list(KINDS)[place] for place in weights.argmax(-1).tolist()]


for price in (0.0, 0.3):
    layers = choose(price)
    print(f"price {price}: {layers}, {predict_latency(measured_table, layers):.2f} ms,", end=" ")
    print(f"accuracy {subnet_accuracy(layers, pictures['validation']):.3f}")

# %% [markdown]
# At price 0 it takes the largest kind three times: about 4.7 ms and 0.827, the accuracy of all six layers. At 0.3 a
# millisecond two runs ended with 2.0 ms and 0.769 and with 1.9 ms and 0.766; on the front of forty random subnets 1.8
# ms have 0.788. The gradient form trains a mixture, and you take its largest part, a network that was never evaluated
# during the search. And each price needs a run of its own, where the front shows all prices at once.

# %% [markdown]
# ## What goes wrong
#
# - **No warm-up.** The first runs allocate memory and choose kernels. Timed, they make the kinds that happen to come
#   first look slow.
# - **The fixed cost forgotten, or counted in every layer.** Networks of one depth keep their order, so a plot of
#   equal depths looks fine; shallow and deep networks then can not be compared.
# - **One kind after the other.** A machine that gets busy half-way makes half of the kinds slow. Interleaved, all of
#   them suffer alike.
# - **A front of noisy points.** A point that was lucky in its measurement lies on the front. Time and measure the few
#   chosen ones again before you decide.

# %% [markdown]
# ## At full size
#
# The same `latency_table` on one and two layers of the published ViT, on its own device. Where its weights or a GPU
# are missing, the cell says so in one line.

# %%
try:
    full = zoo.load("vit", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    device = next(full.parameters()).device
    picture = torch.zeros(1, 3, 224, 224, device=device, dtype=next(full.parameters()).dtype)
    every = full.vit.layers

    @torch.no_grad()
    def run_full(layers: list[str]) -> None:
        """Run the first layers of the published network and wait for the device."""
        full.vit.layers = every[: len(layers)]
        full(pixel_values=picture)
        torch.cuda.synchronize(device)

    print(latency_table(run_full, ["layer"], clock=time.perf_counter))

# %% [markdown]
# ## Further reading
#
# - [The chapter on pruning and sparsity](../../theory/3.2-Pruning_and_Sparsity.md): when fewer multiplications mean
#   less time.
# - Cai et al. 2019 (arXiv 1812.00332): tables for a phone, a CPU and a GPU, and three different best networks.
# - Wu et al. 2019 (arXiv 1812.03443): the differentiable form at full size.
# - Jang et al. 2017 (arXiv 1611.01144): the Gumbel-softmax.
