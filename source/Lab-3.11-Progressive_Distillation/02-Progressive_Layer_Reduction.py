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
# # Progressive layer reduction
#
# You take layers out of a Llama, in one step or in several, and find out what the stages are worth.
#
# | | |
# |---|---|
# | You will be able to | plan which layers leave when, carry trained layers from stage to stage, and judge a staged schedule fairly |
# | Time | about 90 minutes |
# | Points | 30 of the lab's 100 |
# | You need | what a `state_dict` holds; cross-entropy with soft targets |
# | Papers | Sajjad et al. 2020, On the Effect of Dropping Layers (arXiv 2004.03844); Sanh et al. 2019, DistilBERT (arXiv 1910.01108); Xu et al. 2020, BERT-of-Theseus (arXiv 2002.02925); Men et al. 2024, ShortGPT (arXiv 2403.03853) |

# %% [markdown] lang="zh-TW"
# # 漸進式減層
#
# 你會從 Llama 取出若干層，一次取完或分階段取出，並查明分階段帶來多少好處。
#
# | | |
# |---|---|
# | 完成後你能 | 規劃哪一層何時移除、把訓練過的層帶到下一階段，並公平評判分階段的做法 |
# | 時間 | 約 90 分鐘 |
# | 配分 | 本實驗 100 分中的 30 分 |
# | 先備知識 | `state_dict` 的內容；以軟目標計算的交叉熵 |
# | 論文 | Sajjad et al. 2020 (arXiv 2004.03844)；Sanh et al. 2019 (arXiv 1910.01108)；Xu et al. 2020 (arXiv 2002.02925)；Men et al. 2024 (arXiv 2403.03853) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=3112)
TOKENS = 64


def shallow(depth: int) -> nn.Module:
    """An untrained Llama with so many layers, otherwise like the tiny one."""
    return zoo.build("llama", num_hidden_layers=depth)


# %% [markdown]
# ## Why
#
# The tiny Llama has four layers. Two of them, the first and the third, without any training after the cut: validation
# perplexity 30 instead of 16. After 40 steps on the teacher's answers it is 21. A model of two layers that starts from
# random weights has 182 after 40 steps on the text.
#
# So copied layers are worth a great deal. Are several small cuts, with training between them, better than one? That
# is the promise of progressive schemes, and this notebook puts a number on it.

# %% [markdown]
# ## By hand
#
# Eight layers, four at the end, two stages. Evenly spread, the layers 0, 2, 4 and 6 stay. The layers 7, 5, 3 and 1
# leave, the highest first: two in each stage.
#
# | | layers, by their number in the teacher | place in the model of the stage before |
# |---|---|---|
# | teacher | 0 1 2 3 4 5 6 7 | |
# | after stage 1 | 0 1 2 3 4 6 | 0 1 2 3 4 6 |
# | after stage 2 | 0 2 4 6 | 0 2 4 5 |
#
# Look at the last row. Layer 6 of the teacher is called 5 in the student of stage 1. Whoever asks that student for
# layer 6 gets an error. Whoever asks the *teacher* for it gets a layer, and throws away what stage 1 has taught.

# %% [markdown]
# ## Formula
#
# $$ K_S = \Big\{ \big\lfloor i L / \ell \big\rfloor : 0 \le i < \ell \Big\}, \qquad
# L_{KD} = -\frac{1}{BN} \sum_{b,t} \sum_v p^{T}_{b,t,v} \log p^{s}_{b,t,v} $$
#
# - $L$: layers of the teacher (`layers`); $\ell$: layers at the end (`target`); $K_s$: what is left after stage $s$
#   of $S$ (`stages`), with $K_1 \supset K_2 \supset \dots \supset K_S$
# - $p^T$, $p^s$: probabilities of the teacher and of the student of stage $s$, over the vocabulary $v$; $B$ rows of
#   $N$ tokens
#
# (Sajjad et al. 2020, section 3, compares dropping top, bottom, alternate and middle layers. Sanh et al. 2019 take
# every second layer.)

# %% [markdown]
# ## You write: a schedule
#
# <details><summary>Hint</summary>
# Decide first what is left at the end. In which order do the others leave, and how many of them are gone after stage
# $s$?
# </details>

# %% nbgrader={"grade_id": "shrink_schedule", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.layer_reduction import shrink_schedule

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_shrink_schedule", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
checks.assert_equal(
    shrink_schedule(8, 4, 2),
    [[0, 1, 2, 3, 4, 6], [0, 2, 4, 6]],
    "the schedule of the example by hand",
    hint="one list a stage; numbers of the original model",
)
checks.assert_equal(
    shrink_schedule(4, 2, 1), [[0, 2]], "four layers to two in one stage", hint="evenly spread from layer 0"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("shrink_schedule")
cases = [(4, 2, 2), (4, 1, 3), (30, 15, 4), (13, 12, 1)]
for _ in range(8):
    layers = int(torch.randint(5, 33, (1,), generator=generator))
    target = int(torch.randint(1, layers - 1, (1,), generator=generator))
    cases.append((layers, target, int(torch.randint(1, layers - target + 1, (1,), generator=generator))))
for number, (layers, target, stages) in enumerate(cases, start=1):
    found = shrink_schedule(layers, target, stages)
    case = f"schedule {number}"
    checks.assert_equal(
        found[-1],
        [int(place * layers / target + 1e-9) for place in range(target)],
        f"layers at the end, {case}",
        hint="i * layers // target, exactly target of them",
    )
    checks.assert_equal(
        [len(kept) for kept in found],
        [layers - (layers - target) * stage // stages for stage in range(1, stages + 1)],
        f"depth after each stage, {case}",
        hint="after stage s, s * (layers - target) // stages layers are gone",
    )
    sets = [set(range(layers)), *(set(kept) for kept in found)]
    leaving = [sorted(before - after, reverse=True) for before, after in pairwise(sets)]
    order = [layer for stage in leaving for layer in stage]
    checks.assert_equal(
        [order, [kept == sorted(kept) for kept in found]],
        [sorted(set(range(layers)) - set(found[-1]), reverse=True), [True] * stages],
        f"order in which layers leave, {case}",
        hint="the highest number first, never one that is needed at the end; each list rises",
    )
for layers, target, stages in ((4, 2, 3), (4, 4, 1), (4, 0, 2), (4, 2, 0), (3, 5, 1)):
    checks.assert_raises(
        "ValueError",
        shrink_schedule,
        layers,
        target,
        stages,
        label=f"{layers} layers to {target} in {stages} stages is refused",
        hint="each stage removes at least one layer, and at least one is left",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: copies of layers
#
# <details><summary>Hint</summary>
# With twelve layers, which keys begin with `model.layers.1`?
# </details>

# %% nbgrader={"grade_id": "copy_layers", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.layer_reduction import copy_layers

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_copy_layers", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def copied(copy_layers, state, layers):
    before = {key: value.clone() for key, value in state.items()}
    made = copy_layers(
        {key: value.clone().requires_grad_(value.is_floating_point()) for key, value in state.items()}, layers
    )
    evidence = {key: value.detach().clone() for key, value in made.items()}
    tracked = [value.requires_grad for value in made.values()]
    shared = copy_layers(state, layers)
    for value in shared.values():
        value.data.zero_()
    return {
        "made": evidence,
        "tracked": any(tracked),
        "untouched": all(bool((state[key] == before[key]).all()) for key in before),
    }


state = {
    "model.embed_tokens.weight": torch.ones(5, 2),
    "model.layers.0.mlp.up_proj.weight": torch.full((3, 2), 10.0),
    "model.layers.1.mlp.up_proj.weight": torch.full((3, 2), 11.0),
    "model.layers.2.mlp.up_proj.weight": torch.full((3, 2), 12.0),
    "lm_head.weight": torch.ones(5, 2),
}
evidence = copied(copy_layers, state, [0, 2])
checks.assert_equal(
    sorted(evidence["made"]),
    [
        "lm_head.weight",
        "model.embed_tokens.weight",
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
    ],
    "keys of a model with two layers",
    hint="layers are numbered from 0 again; embedding and head come along",
)
checks.assert_close(
    evidence["made"]["model.layers.1.mlp.up_proj.weight"],
    torch.full((3, 2), 12.0),
    "layer 1 is the original's layer 2",
    hint="layer j of the result is layers[j] of the state",
)
### BEGIN HIDDEN TESTS
from reference_impl.distillation.hidden_inputs_progressive import layered_state

generator = checks.hidden_generator("copy_layers")
for depth, layers in ((4, [1, 3]), (13, [1, 10, 12]), (12, [0, 2, 11]), (3, [2, 0]), (23, [1, 2])):
    state = layered_state(depth, generator)
    evidence = copied(copy_layers, state, layers)
    wanted = {key: value for key, value in state.items() if ".layers." not in key}
    for own, taken in enumerate(layers):
        for part in ("weight", "bias"):
            wanted[f"model.layers.{own}.{part}"] = state[f"model.layers.{taken}.{part}"]
    case = f"layers {layers} of {depth}"
    checks.assert_equal(
        sorted(evidence["made"]),
        sorted(wanted),
        f"keys, {case}",
        hint="new numbers from 0; all that belongs to no layer; layer 1 is not layer 12",
    )
    for key, value in wanted.items():
        checks.assert_close(
            evidence["made"][key],
            value,
            f"{key}, {case}",
            hint="layer j is layers[j], in the order of the list",
        )
    checks.assert_true(
        evidence["untouched"],
        f"original unchanged after its copy is set to zero, {case}",
        hint="clone every tensor, also those outside the layers",
    )
    checks.assert_equal(evidence["tracked"], False, f"copies carry no gradient, {case}", hint="detach")
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the stages
#
# <details><summary>Hint 1</summary>
# A schedule speaks of the teacher's numbers. Keep a list of the numbers that the model before holds; the place of a
# number in that list is its number there.
# </details>
# <details><summary>Hint 2</summary>
# `torch.nn.functional.cross_entropy` takes probabilities as targets, of the shape of the logits.
# </details>

# %% nbgrader={"grade_id": "progressive_distill", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.layer_reduction import progressive_distill

# %% [markdown]
# ### Check
#
# The check removes layers from a small network that has the keys of a Llama, and compares every tensor of every stage.


# %% nbgrader={"grade_id": "test_progressive_distill", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def staged(progressive_distill, state, schedule, rows, steps, options):
    from types import SimpleNamespace

    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, depth):
            super().__init__()
            words, width = state["lm_head.weight"].shape
            self.model = nn.Module()
            self.model.embed_tokens, self.model.norm = nn.Embedding(words, width), nn.BatchNorm1d(width)
            self.model.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.drop, self.lm_head = nn.Dropout(0.2), nn.Linear(width, words, bias=False)

        def forward(self, input_ids):
            calls.append([len(self.model.layers), self.training, torch.is_grad_enabled()])
            hidden = self.model.embed_tokens(input_ids)
            for layer in self.model.layers:
                hidden = hidden + self.drop(layer(hidden).tanh())
            hidden = self.model.norm(hidden.transpose(1, 2)).transpose(1, 2)
            return SimpleNamespace(logits=self.lm_head(hidden))

    calls = []
    depth = 1 + max(int(key.split(".")[2]) for key in state if ".layers." in key)
    teacher = Net(depth)
    teacher.load_state_dict(state)
    students = progressive_distill(teacher.train(), Net, schedule, rows, steps, **options)
    return {
        "calls": calls,
        "depth": depth,
        "students": [
            {key: value.clone() for key, value in student.state_dict().items()} for student in students
        ],
        "teacher": {key: value.clone() for key, value in teacher.state_dict().items()},
        "modes": [model.training for model in (teacher, *students)],
    }


generator = torch.Generator().manual_seed(4)
state = {
    "model.embed_tokens.weight": torch.randn(9, 4, generator=generator),
    "model.norm.weight": torch.ones(4),
    "model.norm.bias": torch.zeros(4),
    "model.norm.running_mean": torch.zeros(4),
    "model.norm.running_var": torch.ones(4),
    "model.norm.num_batches_tracked": torch.tensor(1),
    "lm_head.weight": torch.randn(9, 4, generator=generator),
}
for layer in range(4):
    state[f"model.layers.{layer}.weight"] = torch.randn(4, 4, generator=generator)
    state[f"model.layers.{layer}.bias"] = torch.zeros(4)
rows = {"input_ids": torch.randint(9, (20, 5), generator=generator)}
evidence = staged(progressive_distill, state, [[0, 1, 2], [0, 2]], rows, [0, 0], {"batch": 4})
checks.assert_close(
    evidence["students"][0]["model.layers.1.weight"],
    state["model.layers.1.weight"],
    "layer 1 after stage 1, without training",
    hint="a student starts from the layers of the model before",
)
checks.assert_close(
    evidence["students"][1]["model.layers.1.weight"],
    state["model.layers.2.weight"],
    "layer 1 after stage 2, without training",
    hint="the schedule names the layers 0 and 2",
)
### BEGIN HIDDEN TESTS
from reference_impl.distillation.hidden_inputs_progressive import LayeredNet, layered_state
from reference_impl.distillation.layer_reduction import progressive_distill as expected_stages

generator = checks.hidden_generator("progressive_distill")
for schedule, steps, options in (
    ([[0, 1, 2, 4], [0, 2, 4]], [4, 5], {"learning_rate": 0.02, "batch": 8, "seed": 7}),
    ([[0, 2, 3, 5], [0, 3, 5], [3]], [3, 0, 4], {"learning_rate": 0.01, "batch": 5}),
    ([[1, 3]], [5], {"batch": 16, "seed": 30}),
):
    depth = max(schedule[0]) + 2
    state = layered_state(depth, generator)
    rows = {"input_ids": torch.randint(11, (40, 6), generator=generator)}
    evidence = staged(progressive_distill, state, schedule, rows, steps, options)
    teacher = LayeredNet(depth)
    teacher.load_state_dict(state)
    students = expected_stages(teacher.train(), LayeredNet, schedule, rows, steps, **options)
    case = f"schedule {schedule}"
    checks.assert_equal(
        evidence["calls"].count([depth, False, False]),
        sum(steps),
        f"answers of the teacher, {case}",
        hint="in every stage the original teacher answers, once a step, in eval mode, without gradient",
    )
    for stage, student in enumerate(students, start=1):
        for key, value in student.state_dict().items():
            checks.assert_close(
                evidence["students"][stage - 1][key].double(),
                value.double(),
                f"{key} after stage {stage}, {case}",
                atol=3e-3,
                hint="start from the student before, as trained, at the right places; seed + stage, teacher's answers",
            )
    for key, value in state.items():
        checks.assert_close(
            evidence["teacher"][key].double(),
            value.double(),
            f"{key} of the teacher, {case}",
            hint="the teacher must come out as it went in",
        )
    checks.assert_equal(
        evidence["modes"],
        [False] * (1 + len(schedule)),
        f"train mode at the end, {case}",
        hint="teacher and students are left in eval mode",
    )
### END HIDDEN TESTS

# %% [markdown]
# ### Check: half of the layers
#
# The check makes a Llama of two layers with your functions, in 40 steps, builds it again from the tensors that come
# back, and measures it on test text that you do not have. It looks at the teacher's perplexity divided by the
# student's, 1 for a student as good as its teacher.


# %% nbgrader={"grade_id": "test_half_of_the_layers", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def half_of_the_layers(progressive_distill, schedule, steps, seed):
    rows = data.tensors(data.prose()["train"], length=TOKENS)
    student = progressive_distill(zoo.load("llama"), shallow, schedule, rows, steps, seed=seed)[-1]
    return {key: value.detach() for key, value in student.state_dict().items()}


rebuilt = shallow(2).eval()
rebuilt.load_state_dict(half_of_the_layers(progressive_distill, [[0, 2]], [0], 0))
blocks = data.tensors(data.prose()["validation"], length=TOKENS, limit=64)
checks.assert_at_least(
    evaluation.quality(zoo.load("llama"), blocks)[1] / evaluation.quality(rebuilt, blocks)[1],
    0.5,
    "share of the teacher's quality kept as copied, validation text",
    hint="layers 0 and 2, embedding, last norm and head are the teacher's",
)
### BEGIN HIDDEN TESTS
from heldout import prose as test_split

seed = int(torch.randint(1_000_000, (1,), generator=checks.hidden_generator("half_of_the_layers")))
rebuilt.load_state_dict(half_of_the_layers(progressive_distill, [[0, 1, 2], [0, 2]], [10, 30], seed))
fresh = data.tensors(test_split(), length=TOKENS, limit=256)
checks.assert_at_least(
    evaluation.quality(zoo.load("llama"), fresh)[1] / evaluation.quality(rebuilt, fresh)[1],
    0.65,
    "share of the teacher's quality that half of its layers keep",
    hint="as copied they keep about 0.5, from random weights 0.1: copy, then train on the teacher's answers",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# Which two layers? Four students: layers 0 and 1, 0 and 2, 0 and 3, 1 and 3. Order them twice before you run the
# cell: as copied, and after 40 steps. It takes about 15 seconds.

# %%
teacher = zoo.load("llama")
train = data.tensors(data.prose()["train"], length=TOKENS)
validation = data.tensors(data.prose()["validation"], length=TOKENS, limit=128)
found = {}
for kept in ([0, 1], [0, 2], [0, 3], [1, 3]):
    students = [
        progressive_distill(teacher, shallow, [kept], train, [steps], seed=1)[-1] for steps in (0, 40)
    ]
    found[f"{kept[0]} and {kept[1]}"] = [evaluation.quality(student, validation)[1] for student in students]
    if kept == [0, 2]:
        one_step = students[1]

# %%
figure, axes = plots.figure(
    alt="Validation perplexity of four students of two layers, as copied and after 40 steps, on a logarithmic axis. "
    "Layers 0 and 1: 34.3, then 23.5. 0 and 2: 30.3, then 21.3. 0 and 3: 39.9, then 23.5. 1 and 3: 1,203, then 85.2."
)
for shift, (column, name) in enumerate(((0, "as copied"), (1, "after 40 steps"))):
    places = [place + 0.4 * shift - 0.2 for place in range(4)]
    bars = axes.bar(
        places,
        [value[column] for value in found.values()],
        width=0.4,
        label=name,
        color=plots.SHADES[shift],
        hatch=plots.HATCHES[shift],
        edgecolor="white",
    )
    axes.bar_label(bars, fmt="%.1f", fontsize=8)
axes.set_xticks(range(4), list(found))
axes.set_yscale("log")
axes.set_xlabel("layers of the teacher that are left")
axes.set_ylabel("validation perplexity (per token)")
axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
plots.show(figure)

# %% [markdown]
# Without layer 0 nothing works: 1,203 as copied, and 40 steps do not repair it. The embedding's output is something
# that only layer 0 has learned to read. The other three choices are within 10 of each other as copied and within 2.3
# after 40 steps. The choice of layers is worth as much as any schedule could be: keep it fixed when you compare
# schedules.

# %% [markdown]
# ## Measure
#
# Two layers in one step of 40, in two stages of 10 and 30 steps, and from random weights in 40 steps.

# %%
two_stages = progressive_distill(teacher, shallow, shrink_schedule(4, 2, 2), train, [10, 30], seed=1)[-1]
random_start = training.fit(scratch := shallow(2), train, steps=40, learning_rate=4e-3, batch=16, seed=1)
models = {"teacher": teacher, "one step": one_step, "two stages": two_stages, "random start": scratch}
table = evaluation.report(models, validation, latency_rows=1, repeats=3)
print(evaluation.show(table[["parameters", "times smaller", "latency (ms)", "perplexity", "recovery"]]))

# %% [markdown]
# One step: 21.3. Two stages with the same number of steps: 22.2, a little worse. With 60 steps and three seeds, on the
# same text, one step gives 20.7, 20.5 and 20.8, two stages of 20 and 40 steps 21.1, 21.3 and 21.4 (seeds 0 to 2, by
# the calls above). Ten seeds on test text say the same: the teacher's quality is divided by the student's, and two
# stages of 10 and 30 steps keep 75.4% of it (74.8 to 75.9), one step of 40 keeps 77.1% (76.5 to 77.5), and one step is
# ahead in all ten (`course calibrate Lab-3.11-Progressive_Distillation --seeds 10`).
#
# A likely reason: the first stage trains three layers to work together, and then one of them is taken away. What
# stage 1 repairs, stage 2 damages again. And the last stage has fewer steps, from a learning rate that starts anew.
#
# The random start has 182, and was trained on the text, with twice the learning rate. Copied layers are what this
# notebook has to offer; they are worth more than any order of removing the others.

# %% [markdown]
# ## What goes wrong
#
# - **Every stage copies from the teacher.** The result of the stage before is thrown away without a message. The
#   final student is that of one step with fewer steps; only the time is gone.
# - **The teacher's numbers in the student.** After a stage, layer 2 of the student may be layer 4 of the teacher.
#   When the number exists in both, nothing complains.
# - **`model.layers.1` as a prefix.** It also matches layers 10 to 19. On a model of four layers you never notice.

# %% [markdown] nbgrader={"grade_id": "question_stages_task", "solution": false, "grade": false, "locked": true, "points": 0, "schema_version": 3, "task": true}
# ## Question (8 points, graded by hand)
#
# A colleague writes: "Removing layers in two stages beats one step. One step: layers 0 and 3, 60 optimizer steps,
# perplexity 22.4. Two stages: first 0, 1 and 2, then 0 and 2, 60 steps each, perplexity 20.0. Seed 0."
#
# 1. Name everything that differs between the two runs besides the number of stages, and say for each in which
#    direction it moves the result.
# 2. Make the comparison that answers the question, with at least three seeds, and report every run.
# 3. Say what your numbers allow you to conclude, and what they do not. Name one situation in which you would still
#    remove layers in stages, and why.
#
# About 200 words. Cite numbers from your own cells.
#
# ### BEGIN MARK SCHEME
# - 3 points, confounders: other layers at the end (1), 120 steps against 60 (1), one seed, so no spread, or the
#   learning rate that starts anew in the second stage (1); each needs its direction.
# - 3 points, measurement: the same layers at the end and equal steps in all (1), three or more seeds, all reported
#   (1), the same data, batch and learning rate, or a reason for another (1).
# - 2 points: a conclusion that follows from the spread (1); a situation with a reason, e.g. models of intermediate
#   depth are wanted anyway, the cut is so deep that the copied model starts near guessing, or the layers to remove are
#   chosen anew after each stage (1).
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade_id": "question_stages", "solution": true, "grade": true, "locked": false, "points": 8, "schema_version": 3, "task": false}
# ### BEGIN SOLUTION
# Four things differ. The layers at the end: 0 and 2 are better than 0 and 3 as copied (30.3 against 39.9) and after 40
# steps (21.3 against 23.5), so this favours the stages. The steps: 120 against 60, which favours the stages too; the
# curves have not ended. The learning rate starts anew in stage 2, which may help or hurt. And there is one seed, so we
# do not know the spread.
#
# I kept layers 0 and 2 and gave both 60 steps in all, the same data, batch and learning rate, seeds 0, 1, 2. One step:
# 20.70, 20.46, 20.78. Two stages of 20 and 40: 21.10, 21.26, 21.44. One step is better with every seed, by 0.4 to 0.8;
# the spread of one step is 0.3. With 120 steps and seed 0 one step has 19.27, and the colleague's two stages of 60
# have 20.05.
#
# So at 60 steps, on this model, stages do not help. I can not say so for long training or deep models: four layers
# leave little to be gradual about, and I tried one split of the steps. I would still use stages when the model of
# three layers is wanted as well, because then its training is paid for by another need.
# ### END SOLUTION

# %% [markdown]
# ## At full size
#
# The plan of this course goes from 13 billion parameters to 7, about half of the layers. The cell prints the schedule
# for a published Llama and copies the layers of its last stage. Where the weights or a GPU are missing, it says so in
# one line.

# %%
try:
    full = zoo.load("llama", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    depth = full.config.num_hidden_layers
    schedule = shrink_schedule(depth, depth // 2, 4)
    state = copy_layers(full.state_dict(), schedule[-1])
    print([len(kept) for kept in schedule], sum(value.numel() for value in state.values()))

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), section 11: schemes in
#   depth, and what a fair control is.
# - Sajjad et al. 2020 (arXiv 2004.03844): which layers to drop; their top-down order is the one used here.
# - Xu et al. 2020 (arXiv 2002.02925): stages without a schedule, by swapping layers at random.
# - Men et al. 2024 (arXiv 2403.03853): choosing layers of large language models by what they change.
