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
# # Loss design
#
# You take the distillation loss apart, weigh its parts yourself, and find out which of the recipes deserves your
# training time.
#
# | | |
# |---|---|
# | You will be able to | split the loss into what it says about the label and about the rest, write two losses built on the split, and compare losses fairly |
# | Time | about 85 minutes |
# | Points | 30 of the lab's 100: 22 autograded, 8 for the written question |
# | You need | softmax with a temperature; the KL divergence |
# | Papers | Zhao et al. 2022, Decoupled Knowledge Distillation (arXiv 2203.08679); Szegedy et al. 2016 (arXiv 1512.00567); Müller et al. 2019, When Does Label Smoothing Help? (arXiv 1906.02629); Yuan et al. 2020 (arXiv 1909.11723) |

# %% [markdown] lang="zh-TW"
# # 損失函數設計
#
# 你會拆解蒸餾損失、自行為各部分加權，並查明哪一種配方值得花訓練時間。
#
# | | |
# |---|---|
# | 完成後你能 | 把損失拆成「關於標籤」與「關於其餘類別」兩部分、據此撰寫兩種損失，並公平比較 |
# | 時間 | 約 85 分鐘 |
# | 配分 | 本實驗 100 分中的 30 分：自動評分 22 分，書面題 8 分 |
# | 先備知識 | 帶溫度的 softmax；KL 散度 |
# | 論文 | Zhao et al. 2022 (arXiv 2203.08679)；Szegedy et al. 2016 (arXiv 1512.00567)；Müller et al. 2019 (arXiv 1906.02629)；Yuan et al. 2020 (arXiv 1909.11723) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
from collections.abc import Callable

import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=393)

# %% [markdown]
# ## Why
#
# For half of the training sentences our teacher gives the right language more than 0.987. All the other languages
# share what is left, 0.013. In the distillation loss they share the *weight* 0.013 too. So the part of the answer
# that labels do not hold, which language comes second and which last, hardly enters the loss. With an untrained
# student it is 6% of it at $T = 1$.
#
# One can give that part a weight of its own. Whether one should is a measurement.

# %% [markdown]
# ## By hand
#
# Three classes, $T = 1$, the label is class 0. The teacher says 0.9, 0.07, 0.03; the student 0.6, 0.1, 0.3.
#
# 1. The label or not: teacher 0.9, 0.1; student 0.6, 0.4. The divergence is 0.9 log(0.9/0.6) + 0.1 log(0.1/0.4) =
#    0.365 − 0.139 = 0.226.
# 2. Among the wrong classes, divided by their sum: teacher 0.7, 0.3; student 0.25, 0.75. The divergence is 0.7
#    log(0.7/0.25) + 0.3 log(0.3/0.75) = 0.721 − 0.275 = 0.446.
# 3. The whole: 0.9 log(0.9/0.6) + 0.07 log(0.07/0.1) + 0.03 log(0.03/0.3) = 0.271 = 0.226 + 0.1 · 0.446.
#
# The second divergence is twice the first, and its share of the loss is a sixth: it is multiplied by what the teacher
# leaves to the wrong classes, 0.1.

# %% [markdown]
# ## Formula
#
# $$ \mathrm{KL}(p^t \Vert p^s) = \underbrace{\mathrm{KL}(b^t \Vert b^s)}_{\text{TCKD}} + (1 - p^t_y)
# \underbrace{\mathrm{KL}(\hat p^t \Vert \hat p^s)}_{\text{NCKD}}, \qquad
# L_{\text{DKD}} = T^2\,\frac1B \sum_b \left(\alpha\,\text{TCKD}_b + \beta\,\text{NCKD}_b\right) $$
#
# - $p^t$, $p^s$: softened probabilities of `teacher` and `student`; $y$: the label; $B$: examples in the batch
# - $b = (p_y, 1 - p_y)$; $\hat p_i = p_i / (1 - p_y)$ for $i \ne y$
# - $\alpha$, $\beta$: `alpha` and `beta`
#
# (Zhao et al. 2022, equations 4 and 7.) The identity holds for each example. Its weight $1 - p^t_y$ differs from
# example to example.

# %% [markdown]
# ## You write: the label or not
#
# One number for each example. A trained teacher rounds to $p_y = 1$ in float32, and then $1 - p_y$ is 0 and its
# logarithm −∞. The logarithm of a sum of exponentials, taken over the other classes' log-probabilities, is not.
#
# <details><summary>Hint 1</summary>
# log(1 − p_y) is the logarithm of the sum of the other probabilities. You have their logarithms.
# </details>
# <details><summary>Hint 2</summary>
# `Tensor.logsumexp`, after the label's own entry is set to −∞.
# </details>

# %% nbgrader={"grade_id": "tckd", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.loss_design import tckd

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_tckd", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
teacher, student = torch.tensor([[0.9, 0.07, 0.03]]).log(), torch.tensor([[0.6, 0.1, 0.3]]).log()
checks.assert_close(
    tckd(student, teacher, torch.tensor([0]), 1.0),
    [0.2263],
    "the example by hand",
    atol=1e-3,
    hint="two numbers each: the label's probability and the sum of the others",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("tckd")
for batch, classes, temperature in ((1, 3, 1.0), (7, 10, 4.0), (5, 5, 0.8), (10, 2, 2.0)):
    student, teacher = (2 * torch.randn(batch, classes, generator=generator) for _ in range(2))
    labels = torch.randint(classes, (batch,), generator=generator)
    own, wanted = (
        (part.double() / temperature).softmax(-1)[torch.arange(batch), labels] for part in (student, teacher)
    )
    value = wanted * (wanted / own).log() + (1 - wanted) * ((1 - wanted) / (1 - own)).log()
    checks.assert_close(
        tckd(student, teacher, labels, temperature),
        value,
        f"{batch} examples, {classes} classes, T = {temperature}",
        atol=1e-4,
        hint="one value for each example, both networks softened, teacher first in the divergence",
    )
sure = tckd(torch.tensor([[0.0, 60.0, 1.0]]), torch.tensor([[80.0, 1.0, 0.0]]), torch.tensor([0]), 1.0)
checks.assert_finite(
    sure, "a sure teacher and a student that is sure of something else", hint="work with logarithms"
)
checks.assert_close(
    sure, [60.0], "a sure teacher and a student that is sure of something else", rtol=1e-3, hint="no clamping"
)
rest = torch.tensor([1.0, 0.0], dtype=torch.float64).logsumexp(0) - 80
open_minded = tckd(torch.tensor([[80.0, 1.0, 0.0]]), torch.ones(1, 3), torch.tensor([0]), 1.0)
checks.assert_close(
    open_minded,
    [(torch.tensor(1 / 3).log() / 3 + 2 / 3 * (torch.tensor(2 / 3).log() - rest)).item()],
    "a student that is surer than its teacher",
    rtol=1e-3,
    hint="log(1 − p) of the student is −79 here: a clamp of 1 − p hides how far it is off",
)
even = tckd(torch.tensor([[90.0, 1.0, 0.0]]), torch.tensor([[80.0, 1.0, 0.0]]), torch.tensor([0]), 1.0)
checks.assert_close(
    even, [0.0], "two sure networks that agree", atol=1e-4, hint="the weight of a vanishing part is 0"
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the rest
#
# The wrong classes among themselves, divided by their sum. The student's logit of the label must not matter at all.
#
# <details><summary>Hint</summary>
# A softmax over the remaining logits divides by their sum for you. Removing one entry from every row leaves a smaller
# rectangle.
# </details>

# %% nbgrader={"grade_id": "nckd", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.loss_design import nckd

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_nckd", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
teacher, student = torch.tensor([[0.9, 0.07, 0.03]]).log(), torch.tensor([[0.6, 0.1, 0.3]]).log()
checks.assert_close(
    nckd(student, teacher, torch.tensor([0]), 1.0),
    [0.4458],
    "the example by hand",
    atol=1e-3,
    hint="0.7, 0.3 against 0.25, 0.75",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("nckd")
for batch, classes, temperature in ((1, 4, 1.0), (7, 10, 4.0), (5, 5, 0.8), (6, 3, 2.0)):
    student, teacher = (2 * torch.randn(batch, classes, generator=generator) for _ in range(2))
    labels = torch.randint(classes, (batch,), generator=generator)
    own, wanted = ((part.double() / temperature).softmax(-1) for part in (student, teacher))
    value = torch.zeros(batch, dtype=torch.float64)
    for row, label in enumerate(labels.tolist()):
        others = [index for index in range(classes) if index != label]
        a, b = (part[row, others] / part[row, others].sum() for part in (wanted, own))
        value[row] = (a * (a / b).log()).sum()
    checks.assert_close(
        nckd(student, teacher, labels, temperature),
        value,
        f"{batch} examples, {classes} classes, T = {temperature}",
        atol=1e-4,
        hint="one value for each example; the wrong classes divided by their sum, at the temperature",
    )
moved = student.clone()
moved[torch.arange(batch), labels] += 25
checks.assert_close(
    nckd(moved, teacher, labels, temperature),
    value,
    "the student's logit of the label raised by 25",
    atol=1e-4,
    hint="leave the label out before the softmax: dividing tiny probabilities afterwards loses them",
)
moved[torch.arange(batch), labels] += 400
checks.assert_close(
    nckd(moved, teacher, labels, 1.0),
    nckd(student, teacher, labels, 1.0),
    "the student's logit of the label raised by 425",
    atol=1e-4,
    hint="leave the label out before the softmax",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the decoupled loss
#
# Both parts with weights of their own, for each example, then the mean. No gradient reaches the teacher.
#
# <details><summary>Hint</summary>
# You have written both parts. What do the docstring's temperature factor and mean apply to?
# </details>

# %% nbgrader={"grade_id": "dkd_loss", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.loss_design import dkd_loss

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_dkd_loss", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def decoupled_gradient(dkd_loss, student, teacher, labels, options):
    leaf, target = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    value = dkd_loss(leaf, target, labels, **options)
    value.backward()
    return {"value": value.detach(), "student": leaf.grad, "teacher": target.grad}


teacher, student = torch.tensor([[0.9, 0.07, 0.03]]).log(), torch.tensor([[0.6, 0.1, 0.3]]).log()
checks.assert_close(
    dkd_loss(student, teacher, torch.tensor([0]), temperature=1.0, alpha=1.0, beta=2.0),
    0.2263 + 2 * 0.4458,
    "the example by hand with beta = 2",
    atol=2e-3,
    hint="alpha · TCKD + beta · NCKD; the teacher's 1 − p is not a factor any more",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("dkd_loss")
for batch, classes, temperature, alpha, beta in (
    (6, 8, 4.0, 1.0, 8.0),
    (5, 4, 1.0, 0.5, 2.0),
    (3, 10, 2.0, 2.0, 0.5),
):
    student, teacher = (2 * torch.randn(batch, classes, generator=generator) for _ in range(2))
    labels = torch.randint(classes, (batch,), generator=generator)
    leaf = student.double().requires_grad_()
    value = torch.zeros((), dtype=torch.float64)
    for row, label in enumerate(labels.tolist()):
        others = [index for index in range(classes) if index != label]
        own, wanted = ((part[row] / temperature).softmax(0) for part in (leaf, teacher.double()))
        pairs = [torch.stack([part[label], 1 - part[label]]) for part in (wanted, own)]
        rest = [part[others] / part[others].sum() for part in (wanted, own)]
        first, second = ((a * (a / b).log()).sum() for a, b in (pairs, rest))
        value = value + temperature**2 * (alpha * first + beta * second) / batch
    value.backward()
    options = {"temperature": temperature, "alpha": alpha, "beta": beta}
    case = f"{batch} examples, T = {temperature}, alpha = {alpha}, beta = {beta}"
    evidence = decoupled_gradient(dkd_loss, student, teacher, labels, options)
    checks.assert_close(
        evidence["value"],
        value,
        f"loss, {case}",
        rtol=1e-3,
        atol=1e-3,
        hint="T² times the mean over the examples",
    )
    checks.assert_close(
        evidence["student"],
        leaf.grad,
        f"gradient, {case}",
        rtol=1e-3,
        atol=1e-3,
        hint="both parts have a gradient",
    )
    checks.assert_true(
        evidence["teacher"] is None or not bool(evidence["teacher"].any()),
        f"no gradient for the teacher, {case}",
        hint="detach the teacher",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: a teacher that knows nothing
#
# Label smoothing spreads a share $\epsilon$ of the target evenly over all classes, the label's own included. It is
# distillation from a teacher whose wrong classes are all alike. Write it without torch's `label_smoothing` argument.
#
# <details><summary>Hint</summary>
# The cross-entropy with the uniform distribution is minus the mean of the log-probabilities.
# </details>

# %% nbgrader={"grade_id": "label_smoothing_loss", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.loss_design import label_smoothing_loss

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_label_smoothing_loss", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
checks.assert_close(
    label_smoothing_loss(torch.zeros(2, 4), torch.tensor([0, 3]), 0.1),
    1.3863,
    "a uniform answer",
    atol=1e-3,
    hint="every class has log 1/4, so both parts are log 4",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("label_smoothing_loss")
for batch, classes, epsilon in ((1, 3, 0.1), (8, 10, 0.2), (5, 4, 0.0), (6, 6, 1.0), (4, 50, 0.05)):
    logits = 3 * torch.randn(batch, classes, generator=generator)
    labels = torch.randint(classes, (batch,), generator=generator)
    target = torch.full((batch, classes), epsilon / classes, dtype=torch.float64)
    target[torch.arange(batch), labels] += 1 - epsilon
    checks.assert_close(
        label_smoothing_loss(logits, labels, epsilon),
        -(target * logits.double().log_softmax(-1)).sum(-1).mean(),
        f"{batch} examples, {classes} classes, epsilon = {epsilon}",
        atol=1e-4,
        hint="epsilon / classes for every class, the label's own included; the mean over examples",
    )
checks.assert_finite(
    label_smoothing_loss(torch.tensor([[200.0, -200.0]]), torch.tensor([1]), 0.1),
    "a sure and wrong answer",
    hint="use log_softmax",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# The plot shows how much weight the wrong classes have, $1 - p^t_y$, over two thousand training sentences. At which
# temperature does half of the sentences give them more than a half?

# %%
train = data.tensors(data.languages()["train"], limit=4000)
train["targets"] = evaluation.logits(
    zoo.load("bert"), {key: value for key, value in train.items() if key != "labels"}
)
weights = {}
for temperature in (1.0, 2.0, 4.0):
    softened = (train["targets"][:2000] / temperature).softmax(-1)
    weights[f"T = {temperature:.0f}"] = 1 - softened[torch.arange(2000), train["labels"][:2000]]
    print(f"T = {temperature:.0f}: median {weights[f'T = {temperature:.0f}'].median():.3f}")
figure = plots.histogram(
    weights,
    x_label="weight of the wrong classes, 1 − p of the label",
    log_y=True,
    bins=40,
    alt="Histogram of the weight that the wrong classes have, over 2,000 sentences, on a log scale. At temperature 1 most "
    "sentences are near 0 with a thin tail to 1; at 2 the bulk lies near 0.2; at 4 near 0.6.",
)
plots.show(figure)

# %% [markdown]
# At $T = 1$ the median weight is 0.013. The thin tail on the right are sentences whose label the teacher thinks is
# wrong: they dominate. Raising the temperature does part of what $\beta$ does, for all sentences alike.

# %% [markdown]
# ## Measure
#
# Every sentence has a label now, 4,000 of them. Two students: one learns from labels, one from the decoupled loss
# with both weights 1. `training.fit` is the course's training loop; `criterion` is what it minimises.


# %%
def minimise(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> nn.Module:
    """A student of one layer after 200 steps with a loss of its logits, the teacher's logits and the labels."""

    def criterion(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        targets, labels = batch.pop("targets"), batch.pop("labels")
        return loss(model(**batch).logits, targets, labels)

    student = zoo.build("bert", seed=0, num_hidden_layers=1, intermediate_size=128)
    training.fit(student, train, steps=200, learning_rate=5e-3, criterion=criterion)
    return student


students = {
    "teacher": zoo.load("bert"),
    "labels": minimise(lambda own, given, labels: label_smoothing_loss(own, labels, 0.0)),
    "DKD, beta = 1": minimise(
        lambda own, given, labels: dkd_loss(own, given, labels, temperature=1.0, alpha=1.0, beta=1.0)
    ),
}
validation = data.tensors(data.languages()["validation"])
table = evaluation.report(students, validation, latency_rows=1, repeats=1)
print(evaluation.show(table[["parameters", "accuracy", "recovery"]]))

# %% [markdown]
# One seed says little. Three seeds of each loss (`python -m reference_impl.distillation.loss_grid` prints this
# table):
#
# | loss | mean accuracy | seeds 0, 1, 2 |
# |---|---|---|
# | labels | 0.819 | 0.841 0.799 0.818 |
# | labels, smoothed by 0.1 | 0.824 | 0.848 0.805 0.820 |
# | teacher, T = 1 | 0.810 | 0.835 0.786 0.808 |
# | teacher, T = 2 | 0.791 | 0.796 0.761 0.817 |
# | teacher, T = 4 | 0.782 | 0.834 0.719 0.793 |
# | teacher, T = 2, and labels, alpha = 0.5 | 0.796 | 0.815 0.750 0.822 |
# | DKD, beta = 1, T = 1 | 0.840 | 0.839 0.839 0.843 |
# | DKD, beta = 4, T = 1 | 0.780 | 0.810 0.739 0.790 |
# | DKD, beta = 8, T = 1 | 0.743 | 0.780 0.635 0.813 |
# | DKD, beta = 4, T = 2 | 0.753 | 0.724 0.807 0.730 |
#
# With labels for every sentence the plain teacher is no gain here. A small weight on the wrong classes has the best
# mean and the smallest spread; the paper's larger ones lose. Two seeds of one row differ by up to 18 points, so most
# of the table is noise. Nothing of it is graded.

# %% [markdown]
# ## What goes wrong
#
# - **Weights averaged first.** The mean of $1 - p_y$ times the mean of NCKD is not the mean of the products: the
#   sentences with a large weight are those on which the student is far off.
# - **Label and rest swapped.** A mask that is inverted keeps one class: its softmax is 1, its divergence 0, and the
#   loss looks very good.
# - **A subtraction near 1.** `1 - p.gather(...)` is exactly 0 for a sure teacher, and `log` makes the batch `nan`.
# - **Tuning on one seed.** With ten losses and one seed each, the best looks two points better than it is.

# %% [markdown] nbgrader={"grade_id": "question_loss_task", "solution": false, "grade": false, "locked": true, "points": 0, "schema_version": 3, "task": true}
# ## Question (8 points, graded by hand)
#
# Your team has labels for all 4,000 sentences and the teacher. Somebody proposes DKD with $\beta = 8$, the value of
# the paper's Table 6.
#
# 1. Choose three losses to compare, one of them without a teacher. Say for each what you expect and why, in terms of
#    TCKD and NCKD.
# 2. Measure them with at least three seeds each at equal steps, and report every run.
# 3. Recommend one loss, or say that your numbers do not allow it. Name one change of the situation (fewer labels,
#    more steps, another student) under which you would decide differently, and why.
#
# About 200 words. Cite numbers from your own cells, not from the table above.
#
# ### BEGIN MARK SCHEME
# - 3 points, expectations: each of three losses has a reason that uses the split: the weight 1 − p of NCKD (1), what
#   a large beta or T does to noisy small logits or to the gradient's size (1), and a loss without a teacher as
#   control (1).
# - 3 points, measurement: three or more seeds for each (1), equal steps and data (1), every run reported (1).
# - 2 points, a recommendation that follows from the spread, or a justified refusal (1), and a changed situation with
#   a reason, e.g. few labels and unlabelled sentences favour the teacher (1).
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade_id": "question_loss", "solution": true, "grade": true, "locked": false, "points": 8, "schema_version": 3, "task": false}
# ### BEGIN SOLUTION
# I compared labels alone, the teacher at T = 2, and DKD with beta = 8 at T = 1, 200 steps, seeds 0 to 2. I expected
# the teacher to add little to labels: it is right in 96% of the training sentences, and the median weight of NCKD is
# 0.013 at T = 1 and 0.21 at T = 2, so it mostly repeats the label. I expected beta = 8 to hurt. It multiplies a part
# whose targets are differences between tiny probabilities that nobody trained, and makes the loss and its gradient
# larger, so with the gradient clipped at 1 the label part gets a smaller share of every step.
#
# Accuracies: labels 0.841, 0.799, 0.818; teacher 0.796, 0.761, 0.817; DKD 0.780, 0.635, 0.813. Labels are ahead of
# both in all three seeds, by 0.1 to 4.5 points of the teacher and by 0.5 to 16 points of DKD. The order of the last
# two is the same in all seeds too, but their spread, 5.6 and 18 points, is larger than the gap.
#
# I recommend labels without a teacher: nothing measured here pays for the teacher's forward passes. With 200 labels
# and unlabelled sentences I would take the teacher, because then its answers are the only information on most
# sentences (notebook 02: 0.78 against 0.44).
# ### END SOLUTION

# %% [markdown]
# ## At full size
#
# The two parts of the loss between a published BERT and itself without its last four layers. Where its weights or a
# GPU are missing, the cell says so in one line.

# %%
try:
    full = zoo.load("bert", profile="full")
    tokenizer = zoo.tokenizer("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    import copy

    shallow = copy.deepcopy(full)
    del shallow.bert.encoder.layer[-4:]
    some = data.tensors(data.languages()["validation"].select(range(32)), tokenizer=tokenizer)
    inputs = {key: value for key, value in some.items() if key != "labels"}
    given, own = (evaluation.logits(model, inputs).float().cpu() for model in (full, shallow))
    print(
        f"TCKD {tckd(own, given, some['labels'], 2.0).mean():.4f}, NCKD {nckd(own, given, some['labels'], 2.0).mean():.4f}"
    )

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), sections 4 and 5: the
#   split derived, and distillation as regularisation.
# - Zhao et al. 2022 (arXiv 2203.08679): the decomposition, and large gains on CIFAR-100 with tuned $\beta$.
# - Müller et al. 2019 (arXiv 1906.02629): why a teacher trained with label smoothing teaches worse.
# - Yuan et al. 2020 (arXiv 1909.11723): teachers that are worse than their students, and what that says about dark
#   knowledge.
