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
# # Distillation training
#
# You train a student three times smaller than its teacher with 200 labels and twelve thousand sentences that have
# none.
#
# | | |
# |---|---|
# | You will be able to | mix soft and hard targets, write a distillation loop that leaves the teacher alone, and find out what the teacher was worth |
# | Time | about 80 minutes |
# | Points | 22 of the lab's 100 |
# | You need | a training loop in PyTorch; softmax with a temperature |
# | Papers | Hinton et al. 2015 (arXiv 1503.02531); Tang et al. 2019, Distilling Task-Specific Knowledge from BERT (arXiv 1903.12136); Turc et al. 2019, Well-Read Students Learn Better (arXiv 1908.08962); Beyer et al. 2021 (arXiv 2106.05237) |

# %% [markdown] lang="zh-TW"
# # 蒸餾訓練
#
# 你會用 200 個標籤與一萬兩千個沒有標籤的句子，訓練一個比教師小三倍的學生。
#
# | | |
# |---|---|
# | 完成後你能 | 混合軟目標與硬目標、撰寫不動到教師的蒸餾迴圈，並查明教師帶來多少好處 |
# | 時間 | 約 80 分鐘 |
# | 配分 | 本實驗 100 分中的 22 分 |
# | 先備知識 | PyTorch 訓練迴圈；帶溫度的 softmax |
# | 論文 | Hinton et al. 2015 (arXiv 1503.02531)；Tang et al. 2019 (arXiv 1903.12136)；Turc et al. 2019 (arXiv 1908.08962)；Beyer et al. 2021 (arXiv 2106.05237) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
from collections.abc import Mapping

import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=392)
LABELLED, TOKENS = 200, 16


def few_known(seed: int) -> dict[str, Tensor]:
    """Training sentences, cut to 16 tokens, in a random order; the first 200 keep their label, the others have -100."""
    rows = data.tensors(data.languages()["train"], length=TOKENS)
    order = torch.randperm(len(rows["labels"]), generator=torch.Generator().manual_seed(seed))
    mixed = {key: value[order] for key, value in rows.items()}
    mixed["labels"][LABELLED:] = -100
    return mixed


# %% [markdown]
# ## Why
#
# Labels cost money. A person who tells Galician from Portuguese has to be found and paid. Sentences cost nothing.
#
# Trained on 200 labelled sentences, a small classifier is right on 44% of the validation sentences. The teacher, 88%
# accurate on sentences of at most sixteen tokens, can answer for the twelve thousand sentences that nobody has
# labelled. With its answers the same small classifier in the same number of steps is right on 78%.

# %% [markdown]
# ## By hand
#
# A batch of three sentences and two classes; only the first has a label, class 0. The student says 0.6, 0.4 for each
# of them; the teacher 0.9, 0.1 for the first two and 0.3, 0.7 for the third. At $T = 1$:
#
# | sentence | soft: cross-entropy with the teacher | hard: cross-entropy with the label |
# |---|---|---|
# | 1 | −0.9 log 0.6 − 0.1 log 0.4 = 0.551 | −log 0.6 = 0.511 |
# | 2 | 0.551 | no label |
# | 3 | −0.3 log 0.6 − 0.7 log 0.4 = 0.795 | no label |
# | mean | over three: 0.633 | over one: 0.511 |
#
# With $\alpha = 0.9$ the loss is 0.9 · 0.633 + 0.1 · 0.511 = 0.620. The two means have different denominators. Divide
# the hard one by three as well and the label counts a third of what $\alpha$ says; with 200 labels among 12,052
# sentences, a sixtieth.

# %% [markdown]
# ## Formula
#
# $$ L = \alpha\,T^2\,\frac1B \sum_{b} \mathrm{CE}\big(p^{t}_{T,b},\, p^{s}_{T,b}\big) + (1 - \alpha)\,
# \frac{1}{|\mathcal{L}|} \sum_{b \in \mathcal{L}} \mathrm{CE}\big(y_b,\, p^{s}_{1,b}\big) $$
#
# - $B$: rows of the batch; $\mathcal{L}$: those of them that have a label; $y_b$: the label
# - $p^t_T$, $p^s_T$: probabilities of `teacher` and `student` at temperature $T$ (`temperature`); $\alpha$: `alpha`
# - $\mathrm{CE}(p, q) = -\sum_i p_i \log q_i$
#
# (Hinton et al. 2015, section 2.) The paper's loss is a cross-entropy; many write the KL divergence. They differ by
# the entropy of the teacher's answer, which the student cannot change, so the gradients are the same.

# %% [markdown]
# ## You write: two kinds of targets
#
# A batch without any label must give 0 for the hard part, not `nan`: the mean over no rows is 0/0.
#
# <details><summary>Hint</summary>
# `torch.nn.functional.cross_entropy` takes probabilities as targets, too. Select the rows that have a label before
# you call it for the hard part.
# </details>

# %% nbgrader={"grade_id": "mixed_loss", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.response import mixed_loss

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_mixed_loss", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def mixed_gradient(mixed_loss, student, teacher, labels, temperature, alpha):
    leaf, target = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    parts = mixed_loss(leaf, target, labels, temperature=temperature, alpha=alpha)
    parts["total"].backward()
    return {
        "student": leaf.grad,
        "teacher": target.grad,
        "parts": {key: part.detach() for key, part in parts.items()},
    }


student = torch.tensor([[0.6, 0.4]] * 3).log()
teacher = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7]]).log()
parts = mixed_loss(student, teacher, torch.tensor([0, -100, -100]), temperature=1.0, alpha=0.9)
checks.assert_close(
    [parts["soft"], parts["hard"], parts["total"]],
    [0.6327, 0.5108, 0.6205],
    "soft, hard and total of the example by hand",
    atol=1e-3,
    hint="the soft mean is over three rows, the hard mean over the one that has a label",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("mixed_loss")
for batch, known, temperature, alpha in (
    (8, 3, 2.0, 0.9),
    (6, 6, 4.0, 0.3),
    (5, 1, 0.7, 0.5),
    (4, 0, 3.0, 0.6),
):
    student, teacher = (2 * torch.randn(batch, 7, generator=generator) for _ in range(2))
    labels = torch.randint(7, (batch,), generator=generator)
    labels[torch.randperm(batch, generator=generator)[: batch - known]] = -100
    evidence = mixed_gradient(mixed_loss, student, teacher, labels, temperature, alpha)
    own, wanted = ((part.double() / temperature).softmax(-1) for part in (student, teacher))
    has = labels != -100
    soft = -(temperature**2) * (wanted * own.log()).sum(-1).mean()
    picked = -student.double().log_softmax(-1)[has, labels[has]]
    hard = picked.mean() if known else torch.tensor(0.0)
    case = f"{batch} rows, {known} with a label, T = {temperature}, alpha = {alpha}"
    for key, value, hint in (
        ("soft", soft, "over all rows, teacher and student softened, times T²"),
        ("hard", hard, "the mean over rows with a label, at temperature 1; 0 without any"),
        ("total", alpha * soft + (1 - alpha) * hard, "alpha belongs to the soft part"),
    ):
        checks.assert_close(evidence["parts"][key], value, f"{key}, {case}", rtol=1e-4, atol=1e-4, hint=hint)
    slope = alpha * temperature / batch * (own - wanted)
    if known:
        hot = torch.nn.functional.one_hot(labels[has], 7)
        slope[has] += (1 - alpha) / known * (student.double()[has].softmax(-1) - hot)
    checks.assert_close(
        evidence["student"], slope, f"gradient of total, {case}", atol=1e-4, hint="both parts have a gradient"
    )
    checks.assert_true(
        evidence["teacher"] is None or not bool(evidence["teacher"].any()),
        f"no gradient for the teacher, {case}",
        hint="detach the teacher's logits",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the loop
#
# The student is in train mode, the teacher in eval mode: a teacher with dropout changes its mind from step to step.
# It answers each batch without gradient, and comes out of the loop as it went in.
#
# The docstring fixes order, learning rate and seeds, so that the check can repeat your run step for step.
#
# <details><summary>Hint</summary>
# A batch holds the labels under "labels". Take them out of the dict before you call the models with the rest.
# </details>

# %% nbgrader={"grade_id": "distill", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.response import distill

# %% [markdown]
# ### Check
#
# The check trains a small network with dropout and running statistics on the answers of another, and compares every
# tensor of both with what the docstring prescribes.


# %% nbgrader={"grade_id": "test_distill", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
@probe
def distilled_net(distill, student_state, teacher_state, rows, options):
    from types import SimpleNamespace

    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, state):
            super().__init__()
            width, entries = state["first.weight"].shape
            self.first, self.norm, self.drop = (
                nn.Linear(entries, width),
                nn.BatchNorm1d(width),
                nn.Dropout(0.2),
            )
            self.last = nn.Linear(width, state["last.weight"].shape[0])
            self.load_state_dict(state)

        def forward(self, input):
            return SimpleNamespace(logits=self.last(self.drop(self.norm(self.first(input)).relu())))

    student, teacher = Net(student_state).eval(), Net(teacher_state).train()
    torch.manual_seed(77)
    history = distill(student, teacher, rows, **options)
    return {
        "history": [float(value) for value in history],
        "modes": [student.training, teacher.training],
        "student": {key: value.detach().clone() for key, value in student.state_dict().items()},
        "teacher": {key: value.detach().clone() for key, value in teacher.state_dict().items()},
        "received": [
            parameter.grad is not None and bool(parameter.grad.any()) for parameter in teacher.parameters()
        ],
    }


generator = torch.Generator().manual_seed(5)
states = [
    {
        "first.weight": torch.randn(width, 6, generator=generator),
        "first.bias": torch.zeros(width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
        "norm.running_mean": torch.randn(width, generator=generator),
        "norm.running_var": torch.ones(width),
        "norm.num_batches_tracked": torch.tensor(3),
        "last.weight": torch.randn(4, width, generator=generator),
        "last.bias": torch.zeros(4),
    }
    for width in (5, 9)
]
rows = {"input": torch.randn(40, 6, generator=generator), "labels": torch.full((40,), -100)}
options = {"temperature": 2.0, "alpha": 0.9, "steps": 5, "batch": 8}
evidence = distilled_net(distill, states[0], states[1], rows, options)
checks.assert_equal(len(evidence["history"]), 5, "losses that come back", hint="one float for each step")
for key, value in states[1].items():
    checks.assert_close(
        evidence["teacher"][key],
        value,
        f"{key} of the teacher",
        hint="the teacher is in eval mode, so that its running statistics stay, and no optimizer holds it",
    )
checks.assert_true(
    not torch.equal(evidence["student"]["first.weight"], states[0]["first.weight"]),
    "weights of the student have moved",
    hint="train the student you are given, in place",
)
### BEGIN HIDDEN TESTS
from reference_impl.distillation.hidden_inputs import SmallNet, small_state
from reference_impl.distillation.response import distill as expected_distill

generator = checks.hidden_generator("distill")
for known, options in (
    (12, {"temperature": 2.0, "alpha": 0.7, "steps": 7, "batch": 16, "seed": 3, "learning_rate": 0.02}),
    (0, {"temperature": 4.0, "alpha": 0.9, "steps": 6, "batch": 8, "seed": 11, "learning_rate": 0.05}),
    (40, {"temperature": 1.0, "alpha": 0.2, "steps": 5, "batch": 8}),
):
    states = [small_state(width, generator) for width in (6, 12)]
    labels = torch.arange(40) % 4
    labels[known:] = -100
    rows = {"input": torch.randn(40, 6, generator=generator), "labels": labels}
    evidence = distilled_net(distill, states[0], states[1], rows, options)
    student, teacher = SmallNet(states[0]).eval(), SmallNet(states[1]).train()
    history = expected_distill(student, teacher, rows, **options)
    case = f"{known} of 40 labels, T = {options['temperature']}"
    checks.assert_close(
        evidence["history"],
        history,
        f"losses, {case}",
        rtol=1e-3,
        atol=1e-3,
        hint="student in train mode, teacher in eval mode, batches and dropout from seed, total of mixed_loss",
    )
    for key, value in student.state_dict().items():
        checks.assert_close(
            evidence["student"][key].double(),
            value.double(),
            f"{key} of the student, {case}",
            atol=3e-3,
            hint="clip at norm 1, AdamW without weight decay, learning rate falling from step 0",
        )
    for key, value in states[1].items():
        checks.assert_close(
            evidence["teacher"][key].double(),
            value.double(),
            f"{key} of the teacher, {case}",
            hint="the teacher must come out as it went in, running statistics included",
        )
    checks.assert_true(
        not any(evidence["received"]),
        f"no gradient in the teacher, {case}",
        hint="run it under torch.no_grad()",
    )
    checks.assert_equal(
        evidence["modes"], [False, False], f"train mode at the end, {case}", hint="leave both in eval mode"
    )
### END HIDDEN TESTS

# %% [markdown]
# ### Check: a student
#
# The check distils the classifier into a student of one layer with your loop: 200 labels, twelve thousand sentences
# without, 200 steps. It takes the student's parameters, builds the student again itself, and measures it on test
# sentences you do not have.


# %% nbgrader={"grade_id": "test_distilled_quality", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
@probe
def distilled_student(distill, steps, seed):
    from labkit import zoo

    student = zoo.build("bert", seed=seed, num_hidden_layers=1, intermediate_size=128)
    distill(student, zoo.load("bert"), few_known(seed), temperature=2.0, alpha=0.9, steps=steps, seed=seed)
    return {key: value.detach() for key, value in student.state_dict().items()}


rebuilt = zoo.build("bert", num_hidden_layers=1, intermediate_size=128).eval()
rebuilt.load_state_dict(distilled_student(distill, 2, 0))
checks.assert_at_most(
    evaluation.parameter_count(rebuilt),
    560_170 / 3,
    "parameters of the student",
    hint="the student stays the network it was built as",
)
### BEGIN HIDDEN TESTS
from heldout import languages as test_sentences

seed = int(torch.randint(1_000_000, (1,), generator=checks.hidden_generator("distilled_quality")))
rebuilt.load_state_dict(distilled_student(distill, 200, seed))
checks.assert_at_least(
    evaluation.quality(rebuilt, data.tensors(test_sentences(), length=TOKENS))[1],
    0.60,
    "test accuracy of the student",
    hint="labels alone give about 0.5: the sentences without a label must be used, with the teacher's answers",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# Four students, the same 200 steps:
#
# - from the 200 labels alone;
# - distilled, but only on the 200 labelled sentences;
# - distilled on all sentences;
# - trained on all sentences with the teacher's most probable class as if it were a label.
#
# Order them before you run the cell. It takes about half a minute.

# %%
teacher = zoo.load("bert")
rows, validation = few_known(0), data.tensors(data.languages()["validation"], length=TOKENS)
few = {key: value[:LABELLED] for key, value in rows.items()}
inputs = {key: value for key, value in rows.items() if key != "labels"}
answers = {**rows, "labels": evaluation.logits(teacher, inputs).argmax(-1)}


def fresh() -> nn.Module:
    return zoo.build("bert", seed=0, num_hidden_layers=1, intermediate_size=128)


students = {
    "200 labels": fresh(),
    "distilled on 200": fresh(),
    "distilled on all": fresh(),
    "teacher's class": fresh(),
}
training.fit(students["200 labels"], few, steps=200, learning_rate=5e-3)
distill(students["distilled on 200"], teacher, few, temperature=2.0, alpha=0.9, steps=200)
distill(students["distilled on all"], teacher, rows, temperature=2.0, alpha=0.9, steps=200)
history = training.fit(students["teacher's class"], answers, steps=200, learning_rate=5e-3)

# %%
table = evaluation.report({"teacher": teacher, **students}, validation, latency_rows=1, repeats=3)
plots.show(
    plots.bars(
        table["accuracy"].to_dict(),
        y_label="validation accuracy",
        alt="Validation accuracy of the teacher and four students. Teacher 0.88; 200 labels 0.44; distilled on the same "
        "200 sentences 0.42; distilled on all sentences 0.78; teacher's most probable class on all sentences 0.81.",
    )
)

# %% [markdown]
# ## Measure

# %%
print(evaluation.show(table[["parameters", "MACs a row", "latency (ms)", "accuracy", "recovery"]]))

# %% [markdown]
# The teacher's answers on the 200 labelled sentences are worth nothing that this run could show: 0.42 against 0.44.
# Its answers on the other sentences are worth 34 points.
#
# And the most probable class does as well as the whole distribution. Over ten seeds it is ahead in nine, by 3.5
# points in the mean (`course calibrate Lab-3.9-Response_Distillation --seeds 10`, test sentences). So what helped
# here is not dark knowledge. It is twelve thousand sentences with labels that are mostly right. Keep this control in
# mind when you read that distillation gained so many points.
#
# With the true labels of all training sentences the student reaches 0.79 and 0.78 with the seeds 0 and 1: nothing is
# left for the teacher to add.

# %% [markdown]
# ## What goes wrong
#
# - **Only the labelled rows are distilled.** Everything runs, and the result is that of the second bar.
# - **`alpha` is too low.** A batch of 64 holds one labelled sentence on average. With $\alpha = 0.5$ that one
#   sentence weighs as much as the 64 soft answers; the loss jumps, and the student learns the 200 by heart. With the
#   seeds 0 and 1 we got 0.51 and 0.69 instead of 0.78 and 0.74.
# - **The teacher is in train mode.** Its dropout makes the targets noisy. The accuracy hardly shows it; a teacher
#   with batch normalisation would change while it teaches.
# - **Too few steps.** A student copies slowly. With 160 steps in place of 200 three students had 0.76, 0.69 and 0.74
#   instead of 0.78, 0.74 and 0.75: the curve has not ended. Compare students at equal steps.

# %% [markdown]
# ## At full size
#
# Four steps of the same loop from BERT to a BERT of two layers. Where the weights or a GPU are missing, the cell says
# so in one line.

# %%
try:
    full = zoo.load("bert", profile="full")
    tokenizer = zoo.tokenizer("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    import copy

    full = full.cpu()
    some = data.tensors(data.languages()["train"].select(range(64)), tokenizer=tokenizer)
    shallow = copy.deepcopy(full)
    del shallow.bert.encoder.layer[2:]
    history = distill(shallow, full, some, temperature=2.0, alpha=0.9, steps=4, batch=8, learning_rate=1e-4)
    print([round(value, 3) for value in history])

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), section 2: when a student
#   gains, and the control that most papers leave out.
# - Tang et al. 2019 (arXiv 1903.12136): BERT into a small LSTM with made-up transfer sentences.
# - Turc et al. 2019 (arXiv 1908.08962): small students need pre-training and unlabelled transfer data; the losses are
#   the smaller part.
# - Beyer et al. 2021 (arXiv 2106.05237): distillation as patient function matching.
