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
# # Teacher ensembles
#
# You let three teachers, none of whom knows more than six kinds of clothing, teach one student all ten.
#
# | | |
# |---|---|
# | You will be able to | combine the answers of several teachers, weigh them for each example, distil them into one student, and say what averaging can not do |
# | Time | about 75 minutes |
# | Points | 24 of the lab's 100 |
# | You need | softmax with a temperature; the distillation loss (lab 3.9, notebook 01) |
# | Papers | Hinton et al. 2015 (arXiv 1503.02531), section 3; You et al. 2017, Learning from Multiple Teacher Networks (KDD 2017); Allen-Zhu & Li 2020, Towards Understanding Ensemble, Knowledge Distillation and Self-Distillation (arXiv 2012.09816); Yang et al. 2020, TextBrewer (arXiv 2002.12620) |

# %% [markdown] lang="zh-TW"
# # 多教師集成
#
# 三位教師各自最多只認得六種衣物；你要讓他們一起教會一個學生全部十種。
#
# | | |
# |---|---|
# | 完成後你能 | 合併多位教師的回答、為每個樣本分別加權、把它們蒸餾進一個學生，並說明平均做不到的事 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 24 分 |
# | 先備知識 | 帶溫度的 softmax；蒸餾損失（實驗 3.9 筆記本 01） |
# | 論文 | Hinton et al. 2015 (arXiv 1503.02531) 第 3 節；You et al. 2017 (KDD 2017)；Allen-Zhu & Li 2020 (arXiv 2012.09816)；Yang et al. 2020 (arXiv 2002.12620) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import functools
import tempfile
from collections.abc import Sequence

import torch
from labkit import checks, compat, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=3121)
KNOWN = ((0, 1, 2, 3, 4, 5), (4, 5, 6, 7, 8, 9), (8, 9, 0, 1, 2, 6))


def small(seed: int) -> nn.Module:
    """The untrained network that teachers and students share: two layers, 41,770 parameters."""
    return zoo.build("vit", seed=seed, num_hidden_layers=2, hidden_size=48, intermediate_size=96)


@functools.cache
def specialists() -> tuple[nn.Module, ...]:
    """Three networks; each has seen only the pictures of its six classes among 600 labelled ones."""
    rows = data.tensors(data.fashion()["train"])
    some = torch.randperm(8000, generator=torch.Generator().manual_seed(0))[:600]
    teachers = []
    for number, classes in enumerate(KNOWN):
        own = some[torch.isin(rows["labels"][some], torch.tensor(classes))]
        teacher = small(number)
        picked = {key: value[own] for key, value in rows.items()}
        training.fit(teacher, picked, steps=120, learning_rate=2e-3, seed=number)
        teachers.append(teacher)
    return tuple(teachers)


# %% [markdown]
# ## Why
#
# Three shops have trained a classifier each. None sells more than six of the ten kinds of clothing, and each has seen
# only its own kinds among 600 labelled pictures. They will not hand out pictures, and each has a network that is right
# on 46% of ours. Averaged, the three networks are right on 63%. A fourth network of the same size that learns from the
# average keeps 62%; one that learns from the best shop alone stays at 48%.
#
# These are means over five seeds on 2,000 test pictures (`python -m reference_impl.distillation.cohorts specialists`,
# a command of the course's repository, which staff have). The cells below show one seed on 1,000 validation pictures,
# and differ from it by a point or two.

# %% [markdown]
# ## By hand
#
# A picture of a bag. Teacher A knows bags and says (bag 0.9, shirt 0.1). Teacher B has never seen one and says (0.5,
# 0.5).
#
# Their mean is (0.7, 0.3). If "bag" is right, the loss of the mean is −log 0.7 = 0.357; the mean of the two losses is
# (0.105 + 0.693) / 2 = 0.399. The first can never be larger than the second: the negative logarithm is convex, and
# this is Jensen's inequality.
#
# B doubts more than A. The entropy of A's answer is 0.325 nats; over log 2 = 0.693 it is 0.469. B's is 0.693 / 0.693 =
# 1. With $e^{-2 \cdot \text{doubt}}$ we get 0.391 and 0.135. Divided by their sum the weights are 0.743 and 0.257,
# and the weighted mean is (0.797, 0.203).
#
# Now suppose B is sure, and wrong: (bag 0.0001, shirt 0.9999). The mean of probabilities gives the bag 0.45. The mean
# of *logits* is a geometric mean: $\sqrt{0.9 \cdot 0.0001} = 0.0095$ for the bag against $\sqrt{0.1 \cdot 0.9999} =
# 0.316$ for the shirt, 3% against 97%. One teacher who excludes a class has a veto.

# %% [markdown]
# ## Formula
#
# $$ \bar p_T = \sum_m w_m \,\mathrm{softmax}(t^m / T), \qquad
# w_m \propto e^{-\gamma H(p^m) / \log K}, \qquad
# L = T^2 \,\frac1n \sum \mathrm{KL}(\bar p_T \,\Vert\, p^s_T) $$
#
# - $t^m$: logits of teacher $m$ (`logits[:, m]`); $p^m$ its probabilities at temperature 1; $K$: classes
# - $w_m$: `weights`, of each example, sum to 1; $\gamma$: `sharpness`; $H$: entropy in nats
# - $p^s_T$: the student's probabilities at temperature $T$; $n$: examples
#
# Soften first, then average. A teacher with large logits and one with small ones are each softened by their own
# scale.

# %% [markdown]
# ## You write: the teachers' answers
#
# A teacher's answer to a picture does not change while the student learns. Ask once and keep the answers: 8,000
# pictures a teacher, for as many students and steps as you like.
#
# <details><summary>Hint</summary>
# Which mode must a network with dropout be in to give the same answer twice? Remember the mode it came in, and give
# it back.
# </details>

# %% nbgrader={"grade_id": "teacher_logits", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.ensembles import teacher_logits

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_teacher_logits", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
@probe
def asked(teacher_logits, states, modes, pictures, options):
    from types import SimpleNamespace

    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, state):
            super().__init__()
            entries, classes = state["last.weight"].shape[1], state["last.weight"].shape[0]
            self.norm, self.drop = nn.BatchNorm1d(entries), nn.Dropout(0.5)
            self.last = nn.Linear(entries, classes)
            self.load_state_dict(state)
            self.seen = []

        def forward(self, pixel_values):
            self.seen.append(pixel_values.shape[0])
            return SimpleNamespace(logits=self.last(self.drop(self.norm(pixel_values.flatten(1)))))

    teachers = [Net(state).train(mode) for state, mode in zip(states, modes, strict=True)]
    answers = teacher_logits(teachers, pictures, **options)
    return {
        "answers": answers.detach(),
        "follows": answers.requires_grad,
        "modes": [teacher.training for teacher in teachers],
        "statistics": [teacher.norm.running_mean.clone() for teacher in teachers],
        "calls": [teacher.seen for teacher in teachers],
    }


states = [
    {
        "norm.weight": torch.ones(4),
        "norm.bias": torch.zeros(4),
        "norm.running_mean": torch.zeros(4),
        "norm.running_var": torch.ones(4) - 1e-5,
        "norm.num_batches_tracked": torch.tensor(1),
        "last.weight": scale * torch.eye(4)[:3],
        "last.bias": torch.zeros(3),
    }
    for scale in (1.0, 2.0)
]
pictures = torch.arange(24.0).reshape(6, 1, 2, 2)
evidence = asked(teacher_logits, states, [False, False], pictures, {"batch": 6})
expected = torch.stack([pictures.flatten(1)[:, :3], 2 * pictures.flatten(1)[:, :3]], dim=1)
checks.assert_shape(evidence["answers"], (6, 2, 3), "six pictures, two teachers, three classes")
checks.assert_close(
    evidence["answers"],
    expected,
    "answers of two teachers, one of which doubles",
    rtol=1e-4,
    hint="the pictures are the first axis, the teachers the second",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("teacher_logits")
for count, modes, size in ((11, [True, False, True], 4), (8, [False, True], 8), (5, [True], 3)):
    states = []
    for _ in modes:
        states.append(
            {
                "norm.weight": torch.rand(6, generator=generator) + 0.5,
                "norm.bias": torch.randn(6, generator=generator),
                "norm.running_mean": torch.randn(6, generator=generator),
                "norm.running_var": torch.rand(6, generator=generator) + 0.5,
                "norm.num_batches_tracked": torch.tensor(2),
                "last.weight": torch.randn(5, 6, generator=generator),
                "last.bias": torch.randn(5, generator=generator),
            }
        )
    pictures = torch.randn(count, 1, 2, 3, generator=generator)
    evidence = asked(teacher_logits, states, modes, pictures, {"batch": size})
    flat, expected = pictures.flatten(1).double(), []
    for state in states:
        exact = {key: value.double() for key, value in state.items()}
        normal = (flat - exact["norm.running_mean"]) / (exact["norm.running_var"] + 1e-5).sqrt()
        hidden = normal * exact["norm.weight"] + exact["norm.bias"]
        expected.append(hidden @ exact["last.weight"].T + exact["last.bias"])
    case = f"{count} pictures, {len(modes)} teachers, batches of {size}"
    checks.assert_close(
        evidence["answers"],
        torch.stack(expected, dim=1),
        f"answers, {case}",
        rtol=1e-4,
        atol=1e-4,
        hint="eval mode while it answers: no dropout, stored statistics; the last, smaller batch counts too",
    )
    for state, found in zip(states, evidence["statistics"], strict=True):
        checks.assert_close(
            found,
            state["norm.running_mean"],
            f"running statistics, {case}",
            hint="the teacher stays as it was",
        )
    checks.assert_equal(evidence["modes"], modes, f"modes afterwards, {case}", hint="give the old mode back")
    checks.assert_equal(evidence["follows"], False, f"gradient, {case}", hint="torch.no_grad()")
    checks.assert_equal(
        [sum(calls) for calls in evidence["calls"]],
        [count] * len(modes),
        f"pictures each teacher was asked, {case}",
        hint="ask once for every picture",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: one answer from many
#
# Two functions. The first takes weights as given; the second makes them. Keep the axes in mind: the weights of one
# picture sum to 1 over the teachers, the probabilities of one picture over the classes.
#
# <details><summary>Hint</summary>
# The entropy of an answer with an exact 0 in it: what does 0 · log 0 give in floating point, and what should it add?
# For weights that sum to 1 you know a function that turns any numbers into such weights.
# </details>

# %% nbgrader={"grade_id": "combine_probabilities", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.ensembles import combine_probabilities

# %% nbgrader={"grade_id": "confidence_weights", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.ensembles import confidence_weights

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_combine_probabilities", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
teachers = torch.tensor([[[0.9, 0.1], [0.5, 0.5]]]).log()
checks.assert_close(
    combine_probabilities(teachers, torch.tensor([[0.5, 0.5]])),
    [[0.7, 0.3]],
    "mean of the example by hand",
    atol=1e-4,
    hint="softmax first, then the mean over the teachers",
)
checks.assert_close(
    combine_probabilities(teachers, torch.tensor([[0.25, 0.75]]), 2.0),
    [[0.5625, 0.4375]],
    "weights 0.25 and 0.75 at T = 2, where A says (0.75, 0.25)",
    atol=1e-4,
    hint="soften each teacher by T, then weigh",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("combine_probabilities")
for count, members, classes, temperature in ((7, 3, 10, 1.0), (4, 5, 3, 4.0), (1, 2, 6, 0.5), (3, 3, 3, 2.0)):
    logits = 3 * torch.randn(count, members, classes, generator=generator)
    weights = torch.rand(count, members, generator=generator) + 0.1
    weights = weights / weights.sum(dim=1, keepdim=True)
    expected = torch.zeros(count, classes, dtype=torch.float64)
    for member in range(members):
        own = (logits[:, member].double() / temperature).softmax(dim=-1)
        expected += weights[:, member : member + 1].double() * own
    case = f"{members} teachers, {classes} classes, T = {temperature}"
    found = combine_probabilities(logits, weights, temperature)
    checks.assert_close(
        found, expected, f"weighted mean, {case}", atol=1e-5, hint="soften each teacher, then weigh, then add"
    )
    turned = torch.randperm(members, generator=generator)
    checks.assert_close(
        combine_probabilities(logits[:, turned], weights[:, turned], temperature),
        expected,
        f"another order of the teachers, {case}",
        atol=1e-5,
        hint="each teacher has its own weight",
    )
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test_confidence_weights", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
teachers = torch.tensor([[[0.9, 0.1], [0.5, 0.5]]]).log()
checks.assert_close(
    confidence_weights(teachers, 2.0),
    [[0.743, 0.257]],
    "weights of the example by hand",
    atol=1e-3,
    hint="doubts are 0.469 and 1; weights are proportional to exp(-2 · doubt) and sum to 1",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("confidence_weights")
for count, members, classes, sharpness in ((6, 3, 10, 6.0), (4, 2, 3, 1.5), (3, 4, 5, 0.0), (2, 5, 7, 20.0)):
    logits = 2 * torch.randn(count, members, classes, generator=generator)
    exact = logits.double().softmax(dim=-1)
    doubt = -(exact * exact.log()).sum(dim=-1) / torch.tensor(float(classes), dtype=torch.float64).log()
    expected = (-sharpness * doubt).exp()
    expected = expected / expected.sum(dim=1, keepdim=True)
    case = f"{members} teachers, {classes} classes, sharpness {sharpness}"
    checks.assert_close(
        confidence_weights(logits, sharpness),
        expected,
        f"weights, {case}",
        atol=1e-4,
        hint="entropy at temperature 1 over log(classes); weights sum to 1 for each example",
    )
sure = torch.tensor([[[400.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
checks.assert_close(
    confidence_weights(sure, 3.0),
    torch.tensor([[0.0, -3.0]]).softmax(dim=1),
    "a teacher that gives one class everything",
    atol=1e-5,
    hint="a probability of 0 adds nothing to the entropy; 0 · log 0 is nan",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the loss
#
# <details><summary>Hint</summary>
# `torch.nn.functional.kl_div` can divide by rows or by entries; which of its reductions is the mean over examples?
# Which of the three inputs may have a gradient?
# </details>

# %% nbgrader={"grade_id": "multi_teacher_loss", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.ensembles import multi_teacher_loss

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_multi_teacher_loss", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def slopes(multi_teacher_loss, student, teachers, weights, temperature):
    leaves = [part.clone().requires_grad_() for part in (student, teachers, weights)]
    value = multi_teacher_loss(*leaves, temperature)
    value.backward()
    return {"value": value.detach(), "slopes": [leaf.grad for leaf in leaves]}


equal = torch.tensor([[0.7, 0.3]]).log()
teachers = torch.tensor([[[0.9, 0.1], [0.5, 0.5]]]).log()
checks.assert_close(
    multi_teacher_loss(equal, teachers, torch.tensor([[0.5, 0.5]]), 1.0),
    0.0,
    "loss of a student that says (0.7, 0.3)",
    atol=1e-5,
    hint="it is the divergence from the combined answer, and 0 when the student gives that answer",
)
evidence = slopes(multi_teacher_loss, torch.zeros(1, 2), teachers, torch.tensor([[0.5, 0.5]]), 2.0)
checks.assert_close(
    evidence["value"],
    0.1263,
    "loss of a student that says (0.5, 0.5), T = 2, where the combined answer is (0.625, 0.375)",
    atol=1e-3,
    hint="4 · (0.625 log 1.25 + 0.375 log 0.75)",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("multi_teacher_loss")
for count, members, classes, temperature in ((6, 3, 10, 2.0), (5, 2, 4, 1.0), (3, 4, 6, 5.0)):
    student = 2 * torch.randn(count, classes, generator=generator)
    logits = 2 * torch.randn(count, members, classes, generator=generator)
    weights = torch.rand(count, members, generator=generator).softmax(dim=1)
    evidence = slopes(multi_teacher_loss, student, logits, weights, temperature)
    target = (weights.double().unsqueeze(-1) * (logits.double() / temperature).softmax(dim=-1)).sum(dim=1)
    own = (student.double() / temperature).softmax(dim=-1)
    value = temperature**2 * (target * (target / own).log()).sum(dim=-1).mean()
    case = f"{members} teachers, {classes} classes, T = {temperature}"
    checks.assert_close(
        evidence["value"],
        value,
        f"loss, {case}",
        rtol=1e-4,
        atol=1e-5,
        hint="T² · KL(combined || student), the mean over examples",
    )
    checks.assert_close(
        evidence["slopes"][0],
        temperature * (own - target) / count,
        f"gradient for the student, {case}",
        atol=1e-5,
        hint="T · (student − combined) / examples",
    )
    checks.assert_true(
        all(slope is None or not bool(slope.any()) for slope in evidence["slopes"][1:]),
        f"no gradient for teachers and weights, {case}",
        hint="the target is detached",
    )
    copies = logits[:, :1].expand(-1, members, -1).contiguous()
    alone = multi_teacher_loss(student, logits[:, :1].contiguous(), torch.ones(count, 1), temperature)
    checks.assert_close(
        multi_teacher_loss(student, copies, weights, temperature),
        alone.double(),
        f"equal teachers are one teacher, {case}",
        rtol=1e-4,
        atol=1e-5,
        hint="the weights sum to 1; do not add the teachers' losses",
    )
### END HIDDEN TESTS

# %% [markdown]
# ### Check: a student of three
#
# The check has your functions teach a student with the answers of the three specialists, equal weights and $T = 2$,
# 200 steps. It takes the student's parameters, builds the student again itself, and measures it on pictures you do
# not have: at least 0.55 of them right, where the best specialist alone teaches 0.48. The cell trains the three
# specialists first, which takes some seconds.


# %% nbgrader={"grade_id": "test_student", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def taught(teacher_logits, multi_teacher_loss, steps, seed):
    pictures = data.tensors(data.fashion()["train"], limit=64 * steps)["pixel_values"]
    answers = teacher_logits(specialists(), pictures)
    rows = {
        "pixel_values": pictures,
        "answers": answers,
        "weights": torch.full((len(pictures), 3), 1 / 3),
    }

    def target(network, batch):
        logits = network(pixel_values=batch["pixel_values"]).logits
        return multi_teacher_loss(logits, batch["answers"], batch["weights"], 2.0)

    student = small(seed)
    training.fit(student, rows, steps=steps, learning_rate=2e-3, seed=seed, criterion=target)
    return {key: value.detach() for key, value in student.state_dict().items()}


state = taught(teacher_logits, multi_teacher_loss, 2, 7)
checks.assert_equal(
    sum(value.numel() for value in state.values()),
    sum(value.numel() for value in small(7).state_dict().values()),
    "numbers in the student",
    hint="the student is the network that small() builds",
)
### BEGIN HIDDEN TESTS
from heldout import fashion as unseen

seed = int(torch.randint(1_000_000, (1,), generator=checks.hidden_generator("student")))
rebuilt = small(seed)
rebuilt.load_state_dict(taught(teacher_logits, multi_teacher_loss, 200, seed))
checks.assert_at_least(
    evaluation.quality(rebuilt.eval(), data.tensors(unseen()))[1],
    0.55,
    "test accuracy of the student",
    hint="the best specialist alone teaches 0.48; are all three in the target, and is the loss scaled by T²?",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# You know the average from above. Where will a vote of the three be, and where the mean of their logits? And which kind
# of clothing does the average get wrong most often? Write down two numbers and a class (0 T-shirt, 1 trousers, 2
# pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 boot; A knows 0 to 5, B 4 to 9, C 0, 1, 2, 6, 8, 9).

# %%
train, validation = (data.tensors(data.fashion()[split]) for split in ("train", "validation"))
answers = teacher_logits(specialists(), validation["pixel_values"])
alike = torch.full(answers.shape[:2], 1 / 3)


def right(predicted: Tensor) -> float:
    return evaluation.accuracy(predicted, validation["labels"])


found = {name: right(answers[:, number]) for number, name in enumerate("ABC")}
found["mean of logits"] = right(answers.mean(dim=1))
found["vote"] = right(nn.functional.one_hot(answers.argmax(-1), 10).sum(1).double())
found["mean"] = right(combine_probabilities(answers, alike))
found["weighted"] = right(combine_probabilities(answers, confidence_weights(answers, 6.0)))

# %%
asked_once = teacher_logits(specialists(), train["pixel_values"])


def student_of(weights: Tensor) -> nn.Module:
    """A student that learns from the teachers, believed as `weights` says."""
    student = small(7)
    rows = {"pixel_values": train["pixel_values"], "answers": asked_once, "weights": weights}
    training.fit(
        student,
        rows,
        steps=200,
        learning_rate=2e-3,
        criterion=lambda network, batch: multi_teacher_loss(
            network(pixel_values=batch["pixel_values"]).logits, batch["answers"], batch["weights"], 2.0
        ),
    )
    return student


believed = torch.full(asked_once.shape[:2], 1 / 3)
only_a = torch.tensor([1.0, 0.0, 0.0]).expand(8000, 3)
students = {
    "student of A": student_of(only_a),
    "student of all": student_of(believed),
    "student, weighted": student_of(confidence_weights(asked_once, 6.0)),
    "600 labels": small(7),
}
few = torch.randperm(8000, generator=torch.Generator().manual_seed(0))[:600]
labelled = {key: value[few] for key, value in train.items()}
history = training.fit(students["600 labels"], labelled, steps=200, learning_rate=2e-3)
shown = found | {name: evaluation.quality(student, validation)[1] for name, student in students.items()}
groups = 3 * [0] + 4 * [1] + 4 * [2]  # teachers, their combinations, students
drawn, axes = plots.figure(
    alt="Validation accuracy. Teachers A, B and C 0.48, 0.47, 0.47; mean of their logits 0.60; vote 0.61; mean of "
    "their probabilities 0.64; weighted by confidence 0.65; student of A 0.48; student of all three 0.63; student of "
    "the weighted answers 0.66; the same network on all 600 labels 0.70.",
    height=4,
)
rows = axes.barh(list(shown), list(shown.values()), color=[plots.SHADES[group] for group in groups])
axes.bar_label(rows, fmt="%.3f", fontsize=8, padding=2)
axes.set_xlim(0, 0.8)
axes.invert_yaxis()
axes.set_xlabel("validation accuracy, ten classes")
plots.show(drawn)

# %% [markdown]
# The three specialists cover all ten classes between them, and the average of their probabilities is right far more
# often than any of them. Votes and mean logits lose points. A vote throws away how sure a teacher was, and where all
# three disagree it falls to the class with the smallest number. In the mean of logits a teacher that has never seen a
# class can veto it.
#
# Weights by confidence bring little: over five seeds 0.628 against 0.625 for the answers, 0.625 against 0.618 for the
# students. The next cell shows why. Only B has ever seen a sneaker.

# %%
sneakers = validation["labels"] == 7
for number, name in enumerate("ABC"):
    answer = answers[sneakers, number].softmax(-1)
    sure, most = (answer.amax(-1) >= 0.9).double().mean(), int(answer.argmax(-1).mode().values)
    share = (answer.argmax(-1) == 7).double().mean()
    print(
        f"{name}: says {data.CLOTHES[most]!r} most often, at least 90% sure of {sure:.0%}, right on {share:.0%}"
    )
average = combine_probabilities(answers, alike)[sneakers].argmax(-1)
print(f"average: right on {(average == 7).double().mean():.0%} of the sneakers")

# %% [markdown]
# A has never seen a sneaker and is sure what it sees. It is surer than B, who knows. A network that was trained to
# tell six classes apart never learned to say "none of these": confidence is not knowledge. The average fails on a
# class that only one of three knows. Who knows what each teacher was trained on can do better than an average: mask
# each teacher to its classes.

# %% [markdown]
# ## Measure

# %%
table = evaluation.report(
    dict(zip(("teacher A", "teacher B", "teacher C"), specialists(), strict=True)) | students,
    validation,
    latency_rows=1,
    repeats=3,
)
print(evaluation.show(table[["parameters", "MACs a row", "latency (ms)", "accuracy", "recovery"]]))

# %% [markdown]
# The five networks have one size; `recovery` is over teacher A. The average has no row: it needs all three teachers, 2.2
# million products a picture, where its student needs 0.72 million and is about as good.
#
# The last row is the control. A network of the same size that is trained on the 600 labels themselves, all classes
# together, has 0.70 on the test pictures: eight points more than the student of all three. Splitting the labels among
# specialists and putting the answers together again loses something. It is what you do when the labels can not be
# brought together.

# %% [markdown]
# ## textbrewer's way
#
# `textbrewer.MultiTeacherDistiller` takes a list of teachers. Its source averages their *logits*, softens the mean, and
# takes the cross-entropy, without $T^2$. The cell trains a student with it: two rounds over the pictures, 250 steps, at a
# constant learning rate.

# %%
textbrewer = compat.load_textbrewer()
student = small(7)
examples = [{"pixel_values": picture} for picture in train["pixel_values"]]
settings = textbrewer.DistillationConfig(temperature=2.0, kd_loss_type="ce", kd_loss_weight=1.0)


def adaptor(batch: dict[str, Tensor], outputs: object) -> dict[str, object]:
    return {"logits": outputs.logits}


with tempfile.TemporaryDirectory() as folder, compat.without_progress_bars():
    place = textbrewer.TrainingConfig(device="cpu", output_dir=folder, log_dir=None, ckpt_frequency=1)
    loader = torch.utils.data.DataLoader(examples, batch_size=64, shuffle=True)
    distiller = textbrewer.MultiTeacherDistiller(
        place, settings, list(specialists()), student, adaptor, adaptor
    )
    with distiller:
        distiller.train(torch.optim.AdamW(student.parameters(), lr=2e-3), loader, num_epochs=2, callback=None)
print(f"validation accuracy {evaluation.quality(student.eval(), validation)[1]:.3f}")

# %% [markdown]
# Steps, schedule and clipping differ from ours, so this number says nothing about averages. With our loop and five
# seeds the mean of logits teaches 0.589, the mean of probabilities 0.618 (the command above): the teacher's veto reaches
# the student. Read what a library computes before you compare with it.

# %% [markdown]
# ## What goes wrong
#
# - **Averaged after the most probable class.** That is the vote. On the test pictures it has 0.579 where the mean of
#   probabilities has 0.625.
# - **Weights averaged instead of answers.** The mean of the parameters of three networks that were trained apart is
#   a network that knows nothing: their hidden units are in different orders (chapter 3.2, figure 2).
# - **The softmax over the wrong axis.** Everything has the right shape. Check that rows sum to 1.
# - **Losses added, one for each teacher.** A weighted sum of the divergences has the gradient of your loss; its value
#   differs by a constant. A sum without the weights has a gradient three times as long, and forgets who is believed.

# %% [markdown]
# ## At full size
#
# The same calls with a published ViT as one of two teachers. Where its weights or a GPU are missing, the cell says so
# in one line.

# %%
try:
    full = zoo.load("vit", profile="full").cpu()
except zoo.Unavailable as reason:
    print(reason)
else:
    side = full.config.image_size
    few = nn.functional.interpolate(train["pixel_values"][:8], size=(side, side)).expand(-1, 3, -1, -1)
    print(teacher_logits([full, full], few, batch=4).shape)

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), section 10: averages of
#   probabilities, of logits and of weights.
# - Allen-Zhu & Li 2020 (arXiv 2012.09816): why an ensemble knows more than its members, and why a student can learn
#   it.
# - Du et al. 2020, Agree to Disagree (NeurIPS 2020): weights that keep the teachers' gradients from cancelling.
