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
# # Compressing BERT
#
# You build a student out of its teacher's own layers, three times smaller, and distil back what it lost.
#
# | | |
# |---|---|
# | You will be able to | start a student from a teacher's weights, state a compression ratio that holds up, and run an established distillation library |
# | Time | about 75 minutes |
# | Points | 24 of the lab's 100 |
# | You need | what a Transformer layer holds; `state_dict` |
# | Papers | Sanh et al. 2019, DistilBERT (arXiv 1910.01108); Sun et al. 2019, Patient Knowledge Distillation (arXiv 1908.09355); Jiao et al. 2019, TinyBERT (arXiv 1909.10351); Yang et al. 2020, TextBrewer (arXiv 2002.12620); Sajjad et al. 2020 (arXiv 2004.03844) |

# %% [markdown] lang="zh-TW"
# # 壓縮 BERT
#
# 你會用教師自己的層組成一個小三倍的學生，再把失去的部分蒸餾回來。
#
# | | |
# |---|---|
# | 完成後你能 | 以教師權重初始化學生、給出站得住腳的壓縮比，並使用成熟的蒸餾函式庫 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 24 分 |
# | 先備知識 | Transformer 層的組成；`state_dict` |
# | 論文 | Sanh et al. 2019 (arXiv 1910.01108)；Sun et al. 2019 (arXiv 1908.09355)；Jiao et al. 2019 (arXiv 1909.10351)；Yang et al. 2020 (arXiv 2002.12620)；Sajjad et al. 2020 (arXiv 2004.03844) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import tempfile

import torch
from labkit import checks, compat, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=394)


def teacher_answers() -> dict[str, Tensor]:
    """4,000 training sentences; in the place of each label is the teacher's most probable class."""
    rows = data.tensors(data.languages()["train"], limit=4000)
    inputs = {key: value for key, value in rows.items() if key != "labels"}
    return {**inputs, "labels": evaluation.logits(zoo.load("bert"), inputs).argmax(-1)}


# %% [markdown]
# ## Why
#
# A student of one layer and 175,242 parameters, 3.2 times smaller than our classifier, keeps 25% of its accuracy when
# it starts from random weights and learns from the teacher's answers for 60 steps. When it starts as one of the
# teacher's own layers it keeps 97%, after the same 60 steps. DistilBERT is made this way: every second layer of BERT,
# then distillation.

# %% [markdown]
# ## By hand
#
# The teacher has four layers. A student of two layers, made from layers 1 and 3:
#
# | student's key | comes from |
# |---|---|
# | `bert.embeddings.word_embeddings.weight` | the same key |
# | `bert.encoder.layer.0.attention.self.query.weight` | `bert.encoder.layer.1.attention.self.query.weight` |
# | `bert.encoder.layer.1.output.dense.weight` | `bert.encoder.layer.3.output.dense.weight` |
# | `classifier.weight` | the same key |
#
# Layers can be made thinner too. A feed-forward network with three inner units has the rows $w_1 = (3, 4)$, $w_2 =
# (0, 1)$, $w_3 = (1, 0)$ in its first matrix and the columns $v_1 = (0, 1)$, $v_2 = (6, 8)$, $v_3 = (2, 0)$ in its
# second. The lengths are 5, 1, 1 and 1, 10, 2, the scores 5 · 1 = 5, 1 · 10 = 10 and 1 · 2 = 2. Two units stay: the
# first and the second, in this order. Looking at the rows alone would have ranked the first unit above the second.
#
# And a ratio. A model has an embedding of 1,000 parameters and 4 layers of 100; a student has the same embedding and
# one layer. In total 1,400 / 1,100 = 1.27 times fewer parameters; without the embedding 400 / 100 = 4 times. A report
# that says "four times smaller" without saying of what is not wrong, and misleads.

# %% [markdown]
# ## Formula
#
# $$ \text{score}_u = \lVert W^{\text{in}}_{u,:} \rVert_2 \cdot \lVert W^{\text{out}}_{:,u} \rVert_2 , \qquad
# r = \frac{\text{parameters of the teacher}}{\text{parameters of the student}} $$
#
# - $W^{\text{in}}$ (units, width): `intermediate.dense.weight`; $W^{\text{out}}$ (width, units):
#   `output.dense.weight`
# - $u$: an inner unit; $r$: the compression ratio, in total and without embeddings

# %% [markdown]
# ## You write: a student's first weights
#
# The input is a teacher's `state_dict`, a plain dict of tensors. Note that a BERT layer has two keys that end in
# `output.dense.weight`: one belongs to the attention and is never cut.
#
# <details><summary>Hint 1</summary>
# Which keys of layer 3 begin with `….encoder.layer.3.`? What stands after that prefix tells the two apart.
# </details>
# <details><summary>Hint 2</summary>
# Three tensors of a layer have the inner units on one of their axes. Which axis, in each of them?
# </details>

# %% nbgrader={"grade_id": "init_from_teacher", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.student_init import init_from_teacher

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_init_from_teacher", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
@probe
def started_state(init_from_teacher, state, layers, inner):
    before = {key: value.clone() for key, value in state.items()}
    made = init_from_teacher(state, layers, inner)
    evidence = {key: value.detach().clone() for key, value in made.items()}
    for value in made.values():
        value.data.zero_()
    return {"made": evidence, "untouched": all(bool((state[key] == before[key]).all()) for key in before)}


state = {
    "bert.embeddings.word_embeddings.weight": torch.ones(5, 2),
    "bert.encoder.layer.0.attention.output.dense.weight": torch.eye(2),
    "bert.encoder.layer.0.intermediate.dense.weight": torch.tensor([[3.0, 4.0], [0.0, 1.0], [1.0, 0.0]]),
    "bert.encoder.layer.0.intermediate.dense.bias": torch.tensor([1.0, 2.0, 3.0]),
    "bert.encoder.layer.0.output.dense.weight": torch.tensor([[0.0, 6.0, 2.0], [1.0, 8.0, 0.0]]),
    "bert.encoder.layer.0.output.dense.bias": torch.zeros(2),
}
evidence = started_state(init_from_teacher, state, [0], 2)
checks.assert_equal(
    sorted(evidence["made"]), sorted(state), "keys of a student with one layer", hint="layer 0 stays layer 0"
)
checks.assert_close(
    evidence["made"]["bert.encoder.layer.0.intermediate.dense.bias"],
    [1.0, 2.0],
    "inner units that stay, by hand",
    hint="scores 5, 10 and 2: units 0 and 1, in their old order",
)
### BEGIN HIDDEN TESTS
from reference_impl.distillation.hidden_inputs import bert_like_state
from reference_impl.distillation.student_init import init_from_teacher as expected_state

generator = checks.hidden_generator("init_from_teacher")
for depth, units, layers, inner in (
    (4, 12, [0, 2], 12),
    (4, 10, [1, 3], 4),
    (12, 6, [1, 10], 3),
    (3, 9, [2], 1),
):
    state = bert_like_state(depth, width=4, units=units, generator=generator)
    evidence = started_state(init_from_teacher, state, layers, inner)
    wanted = expected_state(state, layers, inner)
    case = f"layers {layers} of {depth}, {inner} of {units} units"
    checks.assert_equal(
        sorted(evidence["made"]),
        sorted(wanted),
        f"keys, {case}",
        hint="the student's layers are numbered from 0; everything outside the layers is there too",
    )
    for key, value in wanted.items():
        checks.assert_close(
            evidence["made"][key],
            value,
            f"{key}, {case}",
            hint="layer j from layer layers[j]; inner units by score, in rising order, on the right axis",
        )
    checks.assert_true(
        evidence["untouched"],
        f"teacher unchanged after its student is set to zero, {case}",
        hint="clone every tensor",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: a ratio that holds up
#
# A parameter that two modules share is one parameter. Language models often use the embedding's matrix as the output
# layer as well; without embeddings, such an output layer is gone too.
#
# <details><summary>Hint</summary>
# `model.parameters()` already yields a shared parameter once. How do you recognise the ones that belong to an
# `nn.Embedding`, wherever they are used?
# </details>

# %% nbgrader={"grade_id": "compression_ratio", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.student_init import compression_ratio

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_compression_ratio", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def ratios(compression_ratio, kind, sizes):
    from labkit import zoo
    from torch import nn

    class Shared(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.source, self.target = nn.Embedding(30, width), nn.Embedding(30, width)
            self.target.weight = self.source.weight
            self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
            self.second.weight = self.first.weight
            self.out = nn.Linear(width, 30, bias=False)
            self.out.weight = self.source.weight

    builders = {
        "bert": lambda size: zoo.build("bert", num_hidden_layers=size[0], intermediate_size=size[1]),
        "gpt2": lambda size: zoo.build("gpt2", n_layer=size[0], n_embd=size[1]),
        "shared": lambda size: Shared(size[1]),
    }
    models = [builders[kind](size) for size in sizes]
    return {key: float(value) for key, value in compression_ratio(models[0], models[1]).items()}


found = ratios(compression_ratio, "bert", [(4, 384), (1, 128)])
checks.assert_close(
    [found["total"], found["without embeddings"]],
    [560_170 / 175_242, 457_834 / 72_906],
    "our teacher and a student of one layer",
    rtol=1e-6,
    hint="the three embeddings of both models have 102,336 parameters; norms and biases count as well",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("compression_ratio")
width, narrow = (
    int(torch.randint(low, high, (1,), generator=generator)) for low, high in ((20, 40), (5, 15))
)
found = ratios(compression_ratio, "shared", [(0, width), (0, narrow)])
inner = [size * size + 2 * size for size in (width, narrow)]
checks.assert_close(
    [found["total"], found["without embeddings"]],
    [(30 * width + inner[0]) / (30 * narrow + inner[1]), inner[0] / inner[1]],
    "modules that share parameters",
    rtol=1e-6,
    hint="a shared parameter counts once, and an output layer that shares the embedding's is an embedding",
)
sizes = [(3, 32), (1, 16)]
found = ratios(compression_ratio, "gpt2", sizes)
total, rest = [], []
for layers, size in sizes:
    model = zoo.build("gpt2", n_layer=layers, n_embd=size)
    total.append(evaluation.parameter_count(model))
    rest.append(total[-1] - model.transformer.wte.weight.numel() - model.transformer.wpe.weight.numel())
checks.assert_close(
    [found["total"], found["without embeddings"]],
    [total[0] / total[1], rest[0] / rest[1]],
    "a GPT-2 with a tied output layer",
    rtol=1e-6,
    hint="lm_head is the token embedding",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: settings for a library
#
# TextBrewer is a distillation library with a loop of its own. It compares outputs and, if asked to, pairs of hidden
# states. You tell it which: the state after the embeddings, and after each student layer the state of the teacher's
# layer that it started as. `hidden_states[0]` is the embeddings' output in both models, so indices move by one.

# %% nbgrader={"grade_id": "distill_config", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.student_init import distill_config

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_distill_config", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
settings = distill_config([2], temperature=4.0, hidden_weight=1.0)
checks.assert_equal(
    [
        settings["temperature"],
        settings["kd_loss_type"],
        settings["kd_loss_weight"],
        settings["hard_label_weight"],
    ],
    [4.0, "ce", 1, 0],
    "temperature, kind and weights",
    hint="soft targets only",
)
checks.assert_equal(len(settings["intermediate_matches"]), 2, "pairs", hint="the embeddings and one layer")
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("distill_config")
for _ in range(4):
    depth = int(torch.randint(3, 12, (1,), generator=generator))
    count = int(torch.randint(1, depth, (1,), generator=generator))
    layers = torch.randperm(depth, generator=generator)[:count].sort().values.tolist()
    weight, temperature = (round(float(value), 2) for value in torch.rand(2, generator=generator) + 0.5)
    settings = distill_config(layers, temperature=temperature, hidden_weight=weight)
    pairs = [(0, 0)] + [(taken + 1, own + 1) for own, taken in enumerate(layers)]
    checks.assert_equal(
        [(match["layer_T"], match["layer_S"]) for match in settings["intermediate_matches"]],
        pairs,
        f"pairs of teacher and student states, layers {layers}",
        hint="hidden_states[i + 1] is the output of layer i; teacher first",
    )
    checks.assert_equal(
        [(match["feature"], match["loss"], match["weight"]) for match in settings["intermediate_matches"]],
        [("hidden", "hidden_mse", weight)] * len(pairs),
        f"what is compared, layers {layers}",
        hint='feature "hidden", loss "hidden_mse", weight hidden_weight',
    )
    checks.assert_equal(
        [settings["temperature"], sorted(settings)],
        [
            temperature,
            ["hard_label_weight", "intermediate_matches", "kd_loss_type", "kd_loss_weight", "temperature"],
        ],
        f"temperature and names of the settings, layers {layers}",
        hint="five keyword arguments of DistillationConfig",
    )
### END HIDDEN TESTS

# %% [markdown]
# ### Check: three times smaller
#
# The check starts a student of one layer and 128 inner units with your function and trains it for 60 steps on what
# the teacher answers. It builds the student again from the tensors that come back, counts them, and measures it on
# test sentences you do not have.


# %% nbgrader={"grade_id": "test_small_student", "solution": false, "grade": true, "locked": true, "points": 7, "schema_version": 3, "task": false}
@probe
def small_student(init_from_teacher, layer, steps, seed):
    from labkit import training, zoo

    student = zoo.build("bert", seed=seed, num_hidden_layers=1, intermediate_size=128)
    student.load_state_dict(init_from_teacher(zoo.load("bert").state_dict(), [layer], 128))
    if steps:
        training.fit(student, teacher_answers(), steps=steps, learning_rate=1e-3, seed=seed)
    return {key: value.detach() for key, value in student.state_dict().items()}


rebuilt = zoo.build("bert", num_hidden_layers=1, intermediate_size=128).eval()
rebuilt.load_state_dict(small_student(init_from_teacher, 0, 0, 0))
checks.assert_at_least(
    evaluation.parameter_count(zoo.load("bert")) / evaluation.parameter_count(rebuilt),
    3.0,
    "times fewer parameters, embeddings included",
    hint="one layer with 128 inner units",
)
### BEGIN HIDDEN TESTS
from heldout import languages as test_sentences

generator = checks.hidden_generator("small_student")
layer, seed = (int(torch.randint(high, (1,), generator=generator)) for high in (4, 1_000_000))
rebuilt.load_state_dict(small_student(init_from_teacher, layer, 60, seed))
sentences = data.tensors(test_sentences())
kept = evaluation.quality(rebuilt, sentences)[1] / evaluation.quality(zoo.load("bert"), sentences)[1]
checks.assert_at_least(
    kept,
    0.95,
    "share of the teacher's accuracy that the student keeps",
    hint="from random weights the same training keeps about 0.25: the layer and the embeddings must be the teacher's",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# A student of one layer can start as any of the four. Without any training after it: which of them is best? And after
# 120 steps? Order them before you run.

# %%
teacher, answers = zoo.load("bert"), teacher_answers()
validation = data.tensors(data.languages()["validation"])


def started(layers: list[int], inner: int) -> nn.Module:
    student = zoo.build("bert", num_hidden_layers=len(layers), intermediate_size=inner).eval()
    student.load_state_dict(init_from_teacher(teacher.state_dict(), layers, inner))
    return student


students, before = {}, {}
for layer in range(4):
    name = f"layer {layer}"
    students[name] = started([layer], 128)
    before[name] = evaluation.quality(students[name], validation)[1]
    training.fit(students[name], answers, steps=120, learning_rate=1e-3)
print("before training:", {name: round(value, 3) for name, value in before.items()})

# %%
table = evaluation.report({"teacher": teacher, **students}, validation, latency_rows=1, repeats=3)
figure, axes = plots.figure(
    alt="Accuracy of four students of one layer before and after 120 steps. Before training they have 0.70, 0.70, 0.57 and "
    "0.62 by the layer they started as; after it all lie between 0.87 and 0.89, and the teacher at 0.90."
)
axes.bar([place - 0.2 for place in range(4)], list(before.values()), width=0.4, label="as copied")
axes.bar([place + 0.2 for place in range(4)], table["accuracy"].iloc[1:], width=0.4, label="after 120 steps")
axes.axhline(table["accuracy"].iloc[0], color="black", linewidth=0.8, linestyle="--")
axes.set_xticks(range(4), list(before))
axes.set_ylabel("validation accuracy (dashed: teacher)")
axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
plots.show(figure)

# %% [markdown]
# ## Measure

# %%
print(evaluation.show(table[["parameters", "MACs a row", "latency (ms)", "accuracy", "recovery"]]))
print({name: round(value, 2) for name, value in compression_ratio(teacher, students["layer 0"]).items()})

# %% [markdown]
# As copied, the lower layers are better: they expect what the embeddings deliver. After 120 steps all four are within
# a point of each other and two and a half of the teacher, and the last layer, which knows what the classifier
# expects, is ahead in this run. One run each: do not read more into it.
#
# In total the student is 3.2 times smaller, without embeddings 6.3 times. What is left is mostly a table of 1,024
# tokens. The next step down is the vocabulary, not the layers.

# %% [markdown]
# ## The same with a library
#
# TextBrewer runs one epoch over 3,840 sentences, 60 steps, with your settings: soft targets at $T = 2$ and two pairs
# of hidden states.

# %%
textbrewer = compat.load_textbrewer()
student = started([3], 128)
settings = textbrewer.DistillationConfig(**distill_config([3], temperature=2.0, hidden_weight=1.0))
rows = [{key: value[index] for key, value in answers.items()} for index in range(60 * 64)]
for model in (teacher, student):
    model.config.output_hidden_states = True


def adaptor(batch: dict[str, Tensor], outputs: object) -> dict[str, object]:
    return {"logits": outputs.logits, "hidden": outputs.hidden_states}


with tempfile.TemporaryDirectory() as folder, compat.without_progress_bars():
    place = textbrewer.TrainingConfig(device="cpu", output_dir=folder, log_dir=None, ckpt_frequency=1)
    loader = torch.utils.data.DataLoader(rows, batch_size=64, shuffle=True)
    distiller = textbrewer.GeneralDistiller(place, settings, teacher, student, adaptor, adaptor)
    with distiller:
        distiller.train(torch.optim.AdamW(student.parameters(), lr=1e-3), loader, num_epochs=1, callback=None)
print(f"validation accuracy {evaluation.quality(student.eval(), validation)[1]:.3f}")

# %% [markdown]
# ## What goes wrong
#
# - **A layer under its old number.** `load_state_dict` refuses keys it does not know. With `strict=False` it accepts
#   them silently, and the student starts from random weights.
# - **The attention's output cut.** It also ends in `output.dense.weight`, and its columns are heads, not inner units.
# - **A view in place of a copy.** The student's first step changes the teacher.
# - **A ratio of encoders.** 6.3 sounds better than 3.2. Say which you mean; when in doubt, give the bytes of the
#   file.
# - **Off by one in the pairs.** Pairing the student's embeddings with the teacher's first layer asks the embeddings
#   to do a layer's work.

# %% [markdown]
# ## At full size
#
# The plan of this course goes from BERT-Large to BERT-Base: 335 million parameters to 109 million, 3.1 times. The
# cell starts a half-depth student from a published BERT. Where its weights or a GPU are missing, it says so in one
# line.

# %%
try:
    full = zoo.load("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    import copy

    alternate = list(range(0, full.config.num_hidden_layers, 2))
    half = copy.deepcopy(full)
    half.bert.encoder.layer = half.bert.encoder.layer[: len(alternate)]
    half.load_state_dict(init_from_teacher(full.state_dict(), alternate, full.config.intermediate_size))
    print(
        f"layers {alternate}:",
        {name: round(value, 2) for name, value in compression_ratio(full, half).items()},
    )

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), sections 7 and 14:
#   starting from the teacher, and what a ratio counts.
# - Sanh et al. 2019 (arXiv 1910.01108): DistilBERT, five pages; Table 4 shows that the initialisation is worth more
#   than any of the losses.
# - Sajjad et al. 2020 (arXiv 2004.03844): which layers to drop, without distillation.
# - Yang et al. 2020 (arXiv 2002.12620): the library.
