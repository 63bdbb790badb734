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
# # Hardware-aware trade-off
#
# You measure what a layer costs on this machine in each format, build the models between four and eight bits, and choose one
# with numbers.
#
# | | |
# |---|---|
# | You will be able to | time layers into a table, find the Pareto front of size, quality and time, and pick the smallest model that is good enough |
# | Time | about 75 minutes |
# | Points | 22 of the lab's 100 |
# | You need | costs per layer and width (notebook 01 or 03); why the first calls of a benchmark are not timed |
# | Papers | Wang et al. 2019, HAQ (arXiv 1811.08886); Wu et al. 2018, Mixed Precision Quantization of ConvNets (arXiv 1812.00090); Cai et al. 2019, ProxylessNAS (arXiv 1812.00332) |

# %% [markdown] lang="zh-TW"
# # 硬體感知的取捨
#
# 你會量出一層以各種格式在這台機器上的成本，建立四到八位元之間的模型，並用數字選出一個。
#
# | | |
# |---|---|
# | 完成後你能 | 把各層的時間量成表、找出大小、品質與時間的 Pareto 前緣，並選出夠好的模型中最小的一個 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 22 分 |
# | 先備知識 | 各層各位元數的成本（筆記本 01 或 03）；為何效能測試的頭幾次呼叫不計時 |
# | 論文 | Wang et al. 2019, HAQ (arXiv 1811.08886)；Wu et al. 2018, Mixed Precision Quantization of ConvNets (arXiv 1812.00090)；Cai et al. 2019, ProxylessNAS (arXiv 1812.00332) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from labkit import checks, compat, data, evaluation, ops, plots, runtime, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=344)
model = zoo.load("llama").eval()
linears = ops.linear_layers(model, skip=("lm_head",))  # lm_head shares its weight with the embedding
train = data.tensors(data.prose()["train"].select(range(8)))["input_ids"]
GROUP, BITS = 64, [4, 8]


def on_grid(weight: Tensor, bits: int) -> Tensor:
    """Round to the nearest of 2^bits levels; every 64 weights of a row have a scale and a zero-point."""
    return ops.snap_groups(weight.detach(), bits, GROUP)


# %% [markdown]
# Costs as in notebook 03: the divergence that a layer's rounding is expected to cause, from gradients at its output with
# next tokens drawn from the model itself. Sizes count a float16 scale and an 8-bit zero-point for each group of 64.


# %% tags=["shared"]
def fisher_costs(tokens: Tensor, generator: torch.Generator, draws: int = 4) -> dict[str, list[float]]:
    """Expected divergence in nats a token of each layer at each of BITS, all from a few backward passes."""
    caught: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        layer.register_forward_hook(lambda _, x, y, name=name: caught.update({name: (x[0].detach(), y)}))
        for name, layer in linears.items()
    ]
    logits = model(input_ids=tokens).logits
    for hook in hooks:
        hook.remove()
    chances = torch.softmax(logits.detach(), -1).flatten(0, 1)
    total = {name: torch.zeros(len(BITS), dtype=torch.float64) for name in linears}
    for _ in range(draws):
        drawn = torch.multinomial(chances, 1, generator=generator)
        surprise = -torch.log_softmax(logits.flatten(0, 1), -1).gather(1, drawn).sum()
        slopes = torch.autograd.grad(surprise, [y for _, y in caught.values()], retain_graph=True)
        for (name, (x, _)), slope in zip(caught.items(), slopes, strict=True):
            weight = linears[name].weight.detach()
            for i, bits in enumerate(BITS):
                moved = nn.functional.linear(x, on_grid(weight, bits) - weight)
                total[name][i] += (slope * moved).sum(-1).double().square().sum() / (
                    2 * draws * tokens.numel()
                )
    return {name: values.tolist() for name, values in total.items()}


sizes = {
    name: [int(layer.weight.numel() * (bits + 24 / GROUP) / 8) for bits in BITS]
    for name, layer in linears.items()
}

# %% [markdown]
# ## Why
#
# Bits are not milliseconds. On the machine this was written on, a layer of 128 by 384 over 1,024 rows of input takes
# 1.4 ms in float32, 0.6 ms in int8 and 87 ms in int4. Fewer bits only help where a kernel profits from them. And
# bits are not quality either: from four bits to eight the tiny Llama's layers grow from 430 kB to 823 kB and the perplexity
# on validation text falls from 14.05 to 13.73; some seven tenths of that can be had for a third of the bytes.

# %% [markdown]
# ## By hand
#
# Four models as (bytes, perplexity): a (4, 15), b (6, 14), c (7, 14.5), d (9, 13.8).
#
# - c is larger than b and worse than b. Whatever you value, you would not take c: b dominates it.
# - a is smallest, d is best, and b lies between them on both counts. None of the three dominates another.
# - The front is a, b, d. If a perplexity of 14 is good enough, b is the smallest that will do.

# %% [markdown]
# ## You write: a table of latencies
#
# Timing every mixed model is hopeless, for there are 2²⁸ of them. But their layers come in four shapes and a few formats.
# So time each shape in each format once, and add up, as HAQ does (Wang et al. 2019).
#
# `latency_table` runs all calls in turns and takes medians. It gets the clock as an argument, so that it can be checked
# on a clock that stands still unless the check moves it.
#
# <details><summary>Hint</summary>
# Three rounds of a, b, c and not three times a, then three times b: what happens when the machine is busy for a second?
# </details>

# %% nbgrader={"grade_id": "latency_table", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.latency_table import latency_table

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_latency_table", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def scripted_table(latency_table, script, options):
    now, log, turn = [100.0], [], {}

    def clock():
        log.append("clock")
        return now[0]

    def make(kind, form):
        def call():
            log.append(f"{kind} {form}")
            durations = script[kind][form]
            place = turn.get((kind, form), 0)
            turn[kind, form] = place + 1
            now[0] += durations[place % len(durations)]

        return call

    calls = {kind: {form: make(kind, form) for form in forms} for kind, forms in script.items()}
    return {"table": latency_table(calls, clock=clock, **options), "log": log}


script = {"wide": {"float32": [9.0, 0.002, 0.004, 0.003]}}
evidence = scripted_table(latency_table, script, {"warm_up": 1, "repeats": 3})
checks.assert_close(
    evidence["table"]["wide"]["float32"],
    3.0,
    "median by hand",
    atol=1e-6,
    hint="2, 4 and 3 milliseconds; the call of nine seconds is the warm-up",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("latency_table")


def durations(count):
    return (torch.rand(count, generator=generator, dtype=torch.float64) ** 3).tolist()


def median(values):
    ordered = sorted(values)
    return 500 * (ordered[len(ordered) // 2] + ordered[(len(ordered) - 1) // 2])


for warm_up, repeats in ((3, 9), (0, 4), (2, 1), (5, 6)):
    script = {
        "wide": {"float32": durations(warm_up + repeats), "int8": durations(warm_up + repeats)},
        "narrow": {"int8": durations(warm_up + repeats)},
    }
    evidence = scripted_table(latency_table, script, {"warm_up": warm_up, "repeats": repeats})
    for kind, forms in script.items():
        for form, values in forms.items():
            checks.assert_close(
                evidence["table"][kind][form],
                median(values[warm_up:]),
                f"{kind} {form}, {warm_up} warm-up and {repeats} timed rounds",
                rtol=1e-6,
                atol=1e-9,
                hint="the median in milliseconds, without the warm-up rounds; even numbers: mean of the middle two",
            )
    order = ["wide float32", "wide int8", "narrow int8"]
    expected = order * warm_up + [step for name in order for step in ("clock", name, "clock")] * repeats
    checks.assert_equal(
        evidence["log"],
        expected,
        f"order of calls and readings, {warm_up} warm-up and {repeats} timed rounds",
        hint="rounds over all calls; the clock immediately before and after each timed call, never in a warm-up",
    )
script = {"wide": {"float32": durations(12)}}
evidence = scripted_table(latency_table, script, {})
checks.assert_equal(
    [evidence["log"].count("wide float32"), evidence["log"].count("clock")],
    [12, 18],
    "calls and readings by default",
    hint="three warm-up rounds and nine timed ones",
)
checks.assert_raises(
    "ValueError",
    scripted_table,
    latency_table,
    script,
    {"repeats": 0},
    label="no timed rounds",
    hint="there is no median of nothing",
)
### END HIDDEN TESTS

# %% [markdown]
# ### The table of this machine
#
# Three formats that torch can run on a CPU: float32; int8 with inputs quantized on the fly (`torch.ao`); and int4 weights in
# groups, packed two to a byte, with inputs in float32 (`_weight_int4pack_mm_for_cpu`). Two numbers of rows: 1,024, as when eight
# texts are read at once, and 1, as when a text is continued token by token. Which format do you expect to win each?


# %%
def int4_call(weight: Tensor, x: Tensor) -> Callable[[], object]:
    """A call of torch's kernel for packed 4-bit weights; the codes are random, which time does not notice."""
    codes = torch.randint(0, 16, weight.shape, dtype=torch.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
    grids = torch.ones(weight.shape[1] // GROUP, weight.shape[0], 2)
    return lambda: torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, GROUP, grids)


def calls_of(rows: int) -> dict[str, dict[str, Callable[[], object]]]:
    """One call for each shape of layer and each format."""
    calls = {}
    for layer in {str(tuple(layer.weight.shape)): layer for layer in linears.values()}.values():
        x = torch.randn(rows, layer.in_features)
        plain, dynamic = copy.deepcopy(layer), compat.quantize_dynamic(nn.Sequential(copy.deepcopy(layer)))
        calls[str(tuple(layer.weight.shape))] = {
            "float32": lambda plain=plain, x=x: plain(x),
            "int8": lambda dynamic=dynamic, x=x: dynamic(x),
            "int4": int4_call(layer.weight, x),
        }
    return calls


tables = {}
with torch.no_grad():
    for rows in (1024, 1):
        tables[rows] = latency_table(calls_of(rows), clock=time.perf_counter, repeats=7)
        print(f"{rows} rows (milliseconds)")
        for shape, entries in tables[rows].items():
            print(f"  {shape:12s}", "  ".join(f"{form} {value:.4f}" for form, value in entries.items()))

# %% [markdown]
# Over many rows int8 wins, because its products are cheaper and reading the input once more to find its range costs
# little. Over one row it loses by a factor of two to three: these weights are so small that they lie in the cache anyway, and what
# remains is the price of quantizing the input. The int4 kernel is more than fifty times slower than float32 over many rows on
# this machine and up to eight times over one. A table from another machine would say something else, which is the reason for
# measuring one. Nothing here is graded.
#
# ## You write: adding up
#
# `predict_latency` adds a model up from the table. By hand: two layers of a kind that takes 2 ms in int8 and one that takes 5 ms
# in float32 are 9 ms, and with 4 ms for attention and norms 13.

# %% nbgrader={"grade_id": "predict_latency", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.latency_table import predict_latency

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_predict_latency", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
small_table = {"square": {"float32": 5.0, "int8": 2.0}, "wide": {"float32": 7.0, "int8": 6.0}}
kinds = {"q": "square", "k": "square", "up": "square"}
checks.assert_close(
    predict_latency(small_table, kinds, {"q": "int8", "k": "int8", "up": "float32"}, 4.0),
    13.0,
    "latency by hand",
    atol=1e-9,
    hint="2 + 2 + 5, and 4 for the rest",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("predict_latency")
times = torch.rand(3, 2, generator=generator, dtype=torch.float64).tolist()
hidden_table = {f"kind{i}": {"int8": times[i][0], "int4": times[i][1]} for i in range(3)}
which = torch.randint(0, 3, (20,), generator=generator).tolist()
form = torch.randint(0, 2, (20,), generator=generator).tolist()
hidden_kinds = {f"layer{i}": f"kind{kind}" for i, kind in enumerate(which)}
hidden_forms = {f"layer{i}": ("int8", "int4")[form[i]] for i in reversed(range(20))}
expected = sum(times[kind][form[i]] for i, kind in enumerate(which))
for overhead in (0.0, 1.25):
    arguments = (overhead,) if overhead else ()
    checks.assert_close(
        predict_latency(hidden_table, hidden_kinds, hidden_forms, *arguments),
        expected + overhead,
        f"latency of 20 layers, overhead {overhead}",
        rtol=1e-9,
        hint="each layer by its own name, kind and format; a kind counts as often as it occurs",
    )
for label, broken_kinds, broken_forms in (
    ("a layer without a format", {"a": "square", "b": "square"}, {"a": "int8"}),
    ("a format without a layer", {"a": "square"}, {"a": "int8", "b": "int8"}),
    ("a format that was not timed", {"a": "square"}, {"a": "int4"}),
    ("a kind that was not timed", {"a": "round"}, {"a": "int8"}),
):
    checks.assert_raises(
        "ValueError",
        predict_latency,
        small_table,
        broken_kinds,
        broken_forms,
        label=label,
        hint="a missing entry is no zero",
    )
### END HIDDEN TESTS

# %% [markdown]
# ### Is the sum right?
#
# Time the whole model in float32, subtract the layers' entries to get the rest, predict the model with all layers in int8,
# and compare with `torch.ao`'s.

# %%
kind_of = {name: str(tuple(layer.weight.shape)) for name, layer in linears.items()}
batch = {"input_ids": train[:8]}
whole = compat.quantize_dynamic(copy.deepcopy(model))
with torch.no_grad():
    spent = latency_table(
        {"model": {"float32": lambda: model(**batch), "int8": lambda: whole(**batch)}},
        clock=time.perf_counter,
        repeats=15,
    )["model"]
layers_alone = predict_latency(tables[1024], kind_of, dict.fromkeys(kind_of, "float32"))
rest = spent["float32"] - layers_alone
predicted = predict_latency(tables[1024], kind_of, dict.fromkeys(kind_of, "int8"), rest)
print(f"float32 measured {spent['float32']:.1f} ms, its 28 layers by the table {layers_alone:.1f} ms")
print(f"int8 predicted {predicted:.1f} ms, measured {spent['int8']:.1f} ms")

# %% [markdown]
# On a quiet machine the sum is good, 22.5 ms against 22.1, since the layers run one after the other. While other programs ran
# beside it, it was 61 ms against 43: turns protect the entries of one table from each other, not from the
# moment at which another is measured.
#
# ## You write: a ladder of models
#
# Between four bits everywhere and eight bits everywhere lie 28 models, if layers go up one after the other in the order of
# what a byte buys: the fall in cost over the rise in bytes.

# %% nbgrader={"grade_id": "precision_ladder", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.pareto import precision_ladder

# %% [markdown]
# ### Check
#
# The last checks take your ladder of the Llama for costs measured on training text drawn for your hand-in, and the first rung
# whose bytes are at least a quarter of the way up. Its perplexity on addresses that you do not have may be at most 1.014
# times the float32 model's. Four bits everywhere have 1.023, and layers raised by lot 1.016 on average; the order itself is
# checked exactly on other layers.

# %% nbgrader={"grade_id": "test_precision_ladder", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
checks.assert_equal(
    precision_ladder({"a": [3.0, 1.0], "b": [9.0, 1.0]}, {"a": [4, 5], "b": [16, 24]}, 4, 8),
    [{"a": 4, "b": 4}, {"a": 8, "b": 4}, {"a": 8, "b": 8}],
    "ladder by hand",
    hint="a wins 2 for one byte, b wins 8 for eight: a goes up first",
)
### BEGIN HIDDEN TESTS
from heldout import prose as test_split

generator = checks.hidden_generator("precision_ladder")
falls = (torch.rand(9, generator=generator, dtype=torch.float64) ** 2 + 0.01).tolist()
floors = torch.rand(9, generator=generator, dtype=torch.float64).tolist()
rises = torch.randint(1, 30, (9,), generator=generator).tolist()
hidden_costs = {f"l{i}": [floors[i] + falls[i], floors[i]] for i in reversed(range(9))}
hidden_sizes = {f"l{i}": [50 + 3 * i, 50 + 3 * i + rises[i]] for i in range(9)}
ladder = precision_ladder(hidden_costs, hidden_sizes, 3, 6)
checks.assert_equal(len(ladder), 10, "rungs for nine layers", hint="none raised, one, ..., all")
checks.assert_equal(
    [list(rung) for rung in ladder],
    [list(hidden_costs)] * 10,
    "layers of each rung",
    hint="in the order of costs",
)
order = sorted(
    hidden_costs, key=lambda name: -(hidden_costs[name][0] - hidden_costs[name][1]) / rises[int(name[1:])]
)
checks.assert_equal(
    [[name for name in order if rung[name] == 6] for rung in ladder],
    [order[:count] for count in range(10)],
    "layers raised",
    hint="by fall in cost over rise in bytes, largest first; a raised layer stays up",
)
checks.assert_equal(
    [sorted(set(rung.values())) for rung in (ladder[0], ladder[4], ladder[9])],
    [[3], [3, 6], [6]],
    "widths on the ladder",
    hint="low and high as they are passed",
)
equal = precision_ladder({key: [2.0, 1.0] for key in "zam"}, {key: [1, 2] for key in "zam"}, 4, 8)
checks.assert_equal(
    [[name for name in "zam" if rung[name] == 8] for rung in equal],
    [[], ["z"], ["z", "a"], ["z", "a", "m"]],
    "equal layers",
    hint="of equals the one that comes first in costs",
)
measured = fisher_costs(train[torch.randperm(len(train), generator=generator)[:16]], generator)
test = data.tensors(test_split())["input_ids"]
test = {"input_ids": test[torch.randperm(len(test), generator=generator)[:192]]}
ladder = precision_ladder(measured, sizes, 4, 8)
used = [sum(sizes[name][BITS.index(bits)] for name, bits in rung.items()) for rung in ladder]
rung = next(r for r, count in zip(ladder, used, strict=True) if count >= used[0] + (used[-1] - used[0]) / 4)
size = sum(sizes[name][BITS.index(bits)] for name, bits in rung.items())
checks.assert_true(
    used[0] < size < used[-1] and sorted(linears) == sorted(rung),
    "size strictly between four and eight bits",
    hint="every layer has a width, some 4 and some 8",
)
baseline = evaluation.quality(model, test)[1]
original = {name: layer.weight.detach().clone() for name, layer in linears.items()}
for name, layer in linears.items():
    layer.weight.data = on_grid(original[name], rung[name])
value = evaluation.quality(model, test)[1]
for name, layer in linears.items():
    layer.weight.data = original[name]
checks.assert_at_most(
    value / baseline,
    1.014,
    "perplexity over float32's a quarter of the way",
    hint="the layers that win most for a byte first",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the front
#
# `pareto_front` sorts out what is dominated, for any number of objectives that all want to be small. Two models with the same
# numbers do not dominate each other, but one of them is enough.
#
# <details><summary>Hint</summary>
# Go through the points by rising first objective. What can a later point no longer do to an earlier one?
# </details>

# %% nbgrader={"grade_id": "pareto_front", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.pareto import pareto_front

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_pareto_front", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
by_hand = {"d": [9, 13.8], "c": [7, 14.5], "a": [4, 15.0], "b": [6, 14.0]}
checks.assert_equal(
    pareto_front(by_hand), ["a", "b", "d"], "front by hand", hint="c is dominated by b; names by rising size"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("pareto_front")


def dominates(one, other):
    return all(x <= y for x, y in zip(one, other, strict=True)) and one != other


for count, objectives, steps in ((1, 2, 5), (12, 2, 1000), (30, 2, 6), (40, 3, 5), (25, 4, 3), (15, 1, 4)):
    values = torch.randint(0, steps, (count, objectives), generator=generator).double().tolist()
    points = {
        f"p{i}": value
        for i, value in zip(torch.randperm(count, generator=generator).tolist(), values, strict=True)
    }
    kept = [name for name in points if not any(dominates(other, points[name]) for other in points.values())]
    first = [
        name for i, name in enumerate(kept) if points[name] not in [points[earlier] for earlier in kept[:i]]
    ]
    found = pareto_front(points)
    case = f"{count} points, {objectives} objectives"
    checks.assert_equal(
        [name for name in found if name not in kept],
        [],
        f"dominated points on the front, {case}",
        hint="at most as large in every objective and smaller in one: equal in the others is enough to dominate",
    )
    checks.assert_equal(
        sorted(found),
        sorted(first),
        f"front, {case}",
        hint="every point that none dominates; of equal points the first, once",
    )
    checks.assert_equal(
        [points[name] for name in found],
        sorted(points[name] for name in first),
        f"order of the front, {case}",
        hint="by the first objective, of equals by the second, and so on",
    )
checks.assert_equal(pareto_front({}), [], "no points", hint="an empty list")
checks.assert_equal(
    pareto_front({"same": [1.0, 1.0], "twin": [1.0, 1.0], "left": [0.5, 2.0]}),
    ["left", "same"],
    "one of two equal points",
    hint="the one that comes first",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the choice
#
# A front is not a decision. If the loss that is tolerable is fixed, it becomes one.

# %% nbgrader={"grade_id": "smallest_within", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.pareto import smallest_within

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_smallest_within", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
checks.assert_equal(
    smallest_within({"a": [4, 15.0], "b": [6, 14.0], "d": [9, 13.8]}, 13.7, 0.03),
    "b",
    "choice by hand",
    hint="13.7 times 1.03 is 14.11: b and d will do, and b is smaller",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("smallest_within")
for case in range(4):
    rows = torch.randperm(9, generator=generator).tolist()
    losses = (torch.rand(9, generator=generator, dtype=torch.float64) * 0.2).tolist()
    points = {f"m{i}": [100 + 10 * rows[i], 20 * (1 + losses[i])] for i in range(9)}
    tolerance = sorted(losses)[2 + case] + 1e-6
    good = [name for name in points if points[name][1] <= 20 * (1 + tolerance)]
    checks.assert_equal(
        smallest_within(points, 20.0, tolerance),
        min(good, key=lambda name: points[name][0]),
        f"choice among nine, case {case}",
        hint="fewest bytes among those within the tolerance; relative to the baseline",
    )
checks.assert_equal(
    smallest_within({"x": [5, 10.2], "y": [5, 10.1], "z": [5, 10.1]}, 10.0, 0.5),
    "y",
    "equal bytes",
    hint="the lower perplexity, then the first",
)
checks.assert_equal(
    smallest_within({"x": [5, 12.0]}, 8.0, 0.5), "x", "exactly the limit", hint="at most: 12 = 8 * 1.5"
)
for label, points, tolerance in (
    ("none within", {"x": [5, 10.3]}, 0.02),
    ("just above the limit", {"x": [5, 12.0]}, 0.19),
    ("no models", {}, 0.02),
):
    checks.assert_raises(
        "ValueError",
        smallest_within,
        points,
        10.0,
        tolerance,
        label=label,
        hint="at most baseline * (1 + tolerance), or nothing: do not ship the least bad one unasked",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# The plot shows every fourth rung of the ladder, and beside it models of the same kind with layers raised by lot. Where on the
# ladder does the perplexity fall fastest? How far above it do you expect the others?


# %%
def perplexity_of(allocation: dict[str, int], rows: Tensor) -> float:
    """Perplexity with each layer at its width; the model is put back afterwards."""
    original = {name: layer.weight.data for name, layer in linears.items()}
    for name, width in allocation.items():
        linears[name].weight.data = on_grid(original[name], width)
    value = evaluation.quality(model, {"input_ids": rows})[1]
    for name, layer in linears.items():
        layer.weight.data = original[name]
    return value


def bytes_of(allocation: dict[str, int]) -> int:
    return sum(sizes[name][BITS.index(bits)] for name, bits in allocation.items())


costs = fisher_costs(train[:16], torch.Generator().manual_seed(0))
ladder = precision_ladder(costs, sizes, 4, 8)
lot = [list(linears)[i] for i in torch.randperm(28, generator=torch.Generator().manual_seed(0)).tolist()]
by_lot = [{name: 8 if name in lot[:count] else 4 for name in linears} for count in range(29)]
validation = data.tensors(data.prose()["validation"])["input_ids"]
some = validation[::8]
full = evaluation.quality(model, {"input_ids": some})[1]
points = {}
for count in (0, 2, 4, 8, 12, 16, 20, 24, 28):
    for label, rungs in (("ladder", ladder), ("lot", by_lot)):
        points[f"{label} {count}"] = [bytes_of(rungs[count]), perplexity_of(rungs[count], some)]

# %%
front = pareto_front(points)
figure, axes = plots.figure(
    alt="Perplexity against size of the layers for nine rungs of the ladder and for layers raised by lot. The ladder falls "
    "steeply from 13.17 at 430 kB to 12.99 at 553 kB, then slowly to 12.91 at 823 kB. The lots lie above it, by up to "
    "0.1. The line of 1% is crossed by the ladder after 512 kB, by the lots at 600 kB."
)
for index, label in enumerate(("ladder", "lot")):
    mine = [values for name, values in points.items() if name.startswith(label)]
    style = {"color": plots.SHADES[index], "marker": plots.MARKERS[index], "linestyle": plots.DASHES[index]}
    axes.plot([size / 1e3 for size, _ in mine], [value for _, value in mine], label=label, **style)
axes.axhline(full, color="black", linewidth=1, label="float32")
axes.axhline(1.01 * full, color="black", linewidth=1, linestyle=":", label="1% more")
axes.set(xlabel="size of the 28 layers (kB)", ylabel="perplexity (per token)")
axes.legend(frameon=False, fontsize=8)
plots.show(figure)
print("front:", ", ".join(front))
chosen = smallest_within(points, full, 0.01)
print(
    f"smallest within 1%: {chosen}, {points[chosen][0]:,} bytes, perplexity {points[chosen][1]:.3f} ({full:.3f})"
)

# %% [markdown]
# The first twelve rungs take back seven tenths of what four bits lose, for a third of the bytes on the way to eight. No
# model by lot is on the front, and the smallest one within 1% needs 50 kB more. That the curve is steep at
# its left end and flat at its right is what the order by gain a byte means.
#
# ## The same with Neural Compressor
#
# A library will do such a search for you. `RTNConfig` rounds to nearest in groups; `set_local` gives layers another width, so
# a configuration is a mixed-precision plan. `autotune` takes the first configuration whose score loses no more than
# `tolerable_loss`, and here the configurations are rungs of your ladder, smallest first. The criterion is relative, so the score
# must be positive: of the negative perplexity it would ask for more than the baseline has, and accept nothing. The share
# of quality kept, float32's perplexity over the candidate's, is a score.

# %%
compressor = compat.load_neural_compressor()
from neural_compressor.common import set_workspace

rungs = [0, 4, 8, 12, 28]


def plan(rung: dict[str, int]) -> object:
    """Neural Compressor's configuration for a rung of the ladder."""
    config = compressor.RTNConfig(bits=4, group_size=GROUP, use_sym=False)
    for name, bits in rung.items():
        if bits == 8:
            config.set_local(name, compressor.RTNConfig(bits=8, group_size=GROUP, use_sym=True))
    return config


tried: list[float] = []


def score(candidate: nn.Module) -> float:
    tried.append(evaluation.quality(candidate, {"input_ids": some})[1])
    return full / tried[-1]


with tempfile.TemporaryDirectory() as workspace:
    set_workspace(workspace)  # Neural Compressor keeps a record of its search there
    tuned = compressor.autotune(
        model=copy.deepcopy(model),
        tune_config=compressor.TuningConfig(
            config_set=[plan(ladder[count]) for count in rungs], tolerable_loss=0.01
        ),
        eval_fn=score,
    )
half = compressor.convert(copy.deepcopy(model), compressor.MixedPrecisionConfig(dtype="bf16"))
print(f"bf16 {evaluation.quality(half, {'input_ids': some})[1]:.3f}, {evaluation.stored_bytes(half):,} bytes")
print(f"float32 {tried[0]:.3f}, {evaluation.stored_bytes(model):,} bytes")
print("  ".join(f"{count} raised {value:.3f}" for count, value in zip(rungs, tried[1:], strict=False)))

# %% [markdown]
# It walks your ladder and stops at the first rung that is good enough, twelve layers, as `smallest_within` did. The
# plans use an asymmetric grid at four bits and a symmetric one at eight. With `use_sym=False` at eight bits this version of
# the library returns weights that are off by more than the largest weight, and a perplexity above 200: whatever a library hands
# you, measure it. Its `MixedPrecisionConfig` means something else: layers compute in bfloat16, the file stays as it is.
#
# ## Measure


# %%
def entry(allocation: dict[str, int]) -> evaluation.Entry:
    """A model that computes with the quantized weights, and the bytes of its file."""
    changed = zoo.load("llama").eval()
    for name, width in allocation.items():
        changed.get_submodule(name).weight.data = on_grid(linears[name].weight.detach(), width)
    others = evaluation.parameter_count(model) - sum(layer.weight.numel() for layer in linears.values())
    return evaluation.Entry(changed, stored_bytes=bytes_of(allocation) + 2 * others)


models = {"float32": model, "4 bits": entry(ladder[0])}
models |= {f"{count} layers at 8": entry(ladder[count]) for count in (4, 8, 16)}
models |= {"8 by lot": entry(by_lot[8]), "8 bits": entry(ladder[28])}
table = evaluation.report(models, {"input_ids": validation[::5]}, repeats=5)
print(evaluation.show(table[["bytes", "times smaller", "latency (ms)", "perplexity", "recovery"]]))

# %% [markdown]
# Four layers at eight bits, the right four, add 20 kB to the file of four bits and bring its recovery from 0.975 to 0.984.
# Eight by lot add 94 kB and bring 0.981. The latency column does not move: all rows compute in float32 with the values of the
# grids, and none of them would be faster without a kernel.
#
# ## What goes wrong
#
# - **Bits in place of milliseconds.** The table above is the argument against it.
# - **A first call in the table.** The first call of a shape pays for packing and for memory. A single timed call can make a format
#   look ten times slower than it is.
# - **Choosing on the data that you report.** The rung was picked on validation blocks, and so is the perplexity beside it.
#   With a handful of candidates little is lost; with thousands the best is partly the luckiest, and a fresh set must
#   have the last word.
#
# ## At full size
#
# The table for the shapes of the published checkpoint's first block, on its own device. Where its weights or a GPU are missing,
# the cell says so in one line.

# %%
try:
    full_model = zoo.load("llama", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:

    def timed(layer: nn.Linear, x: Tensor) -> Callable[[], object]:
        """A call that waits for the GPU, which otherwise answers before it has computed."""
        return lambda: (layer(x), torch.cuda.synchronize() if x.is_cuda else None)

    large = {}
    for name, layer in ops.linear_layers(full_model).items():
        if ".layers.0." in name:
            x = torch.randn(1, layer.in_features, dtype=layer.weight.dtype, device=layer.weight.device)
            large[str(tuple(layer.weight.shape))] = {str(layer.weight.dtype): timed(layer, x)}
    with torch.no_grad():
        print(latency_table(large, clock=time.perf_counter))

# %% [markdown]
# ## Further reading
#
# - Wang et al. 2019 (arXiv 1811.08886): tables like this one from three chips, and how differently they want their bits.
# - Wu et al. 2018 (arXiv 1812.00090): the choice of widths as a search that gradients drive.
# - Deb 2001, *Multi-Objective Optimization using Evolutionary Algorithms*, chapter 2: dominance and fronts with care.
