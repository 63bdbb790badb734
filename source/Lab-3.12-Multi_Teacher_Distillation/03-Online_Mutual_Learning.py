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
# # Online mutual learning
#
# You train two students at the same time, each on the labels and on what the other one answers.
#
# | | |
# |---|---|
# | You will be able to | write a loss whose target is another network in training, update two networks from one forward pass, and measure whether they became better or only more alike |
# | Time | about 70 minutes |
# | Points | 24 of the lab's 100 |
# | You need | the KL divergence; a training loop in PyTorch |
# | Papers | Zhang et al. 2018, Deep Mutual Learning (arXiv 1706.00384); Anil et al. 2018, Codistillation (arXiv 1804.03235); Lan et al. 2018, ONE (arXiv 1806.04606) |

# %% [markdown] lang="zh-TW"
# # 線上互相學習
#
# 你會同時訓練兩個學生，各自學習標籤以及對方的回答。
#
# | | |
# |---|---|
# | 完成後你能 | 撰寫以「訓練中的另一個網路」為目標的損失、由同一次前向計算更新兩個網路，並衡量它們是變好了還是只是變像了 |
# | 時間 | 約 70 分鐘 |
# | 配分 | 本實驗 100 分中的 24 分 |
# | 先備知識 | KL 散度；PyTorch 訓練迴圈 |
# | 論文 | Zhang et al. 2018 (arXiv 1706.00384)；Anil et al. 2018 (arXiv 1804.03235)；Lan et al. 2018 (arXiv 1806.04606) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=3123)


def small(seed: int) -> nn.Module:
    """An untrained student: two layers, 41,770 parameters."""
    return zoo.build("vit", seed=seed, num_hidden_layers=2, hidden_size=48, intermediate_size=96)


def known_pictures() -> dict[str, Tensor]:
    """600 labelled training pictures."""
    rows = data.tensors(data.fashion()["train"])
    some = torch.randperm(8000, generator=torch.Generator().manual_seed(0))[:600]
    return {key: value[some] for key, value in rows.items()}


# %% [markdown]
# ## Why
#
# There is no teacher at all: two students who know nothing start together. After 200 steps on 600 labelled pictures
# they give the same answer on 79% of the test pictures; two students trained apart agree on 72%. Each of them is right
# on 71.5%, against 70.5% (`python -m reference_impl.distillation.cohorts peers`, five seeds). They are a little better
# and much more alike. This notebook is about the difference.

# %% [markdown]
# ## By hand
#
# A picture with the label 0. Student A says (0.8, 0.2), student B says (0.4, 0.6).
#
# | | cross-entropy with the label | KL(the other ‖ itself) | loss |
# |---|---|---|---|
# | A | −log 0.8 = 0.223 | 0.4 log(0.4/0.8) + 0.6 log(0.6/0.2) = 0.382 | 0.605 |
# | B | −log 0.4 = 0.916 | 0.8 log(0.8/0.4) + 0.2 log(0.2/0.6) = 0.335 | 1.251 |
#
# A's gradient for its first logit is (0.8 − 1) + (0.8 − 0.4) = 0.2: the label pulls up by 0.2, B pulls down by 0.4. A
# becomes *less* sure, although it is right. B's is (0.4 − 1) + (0.4 − 0.8) = −1.0: label and A both pull up. Whoever is
# right pulls the other along, and is held back for it.

# %% [markdown]
# ## Formula
#
# $$ L_1 = \mathrm{CE}(y, p^1) + \mathrm{KL}(p^2 \Vert p^1), \qquad L_2 = \mathrm{CE}(y, p^2) +
# \mathrm{KL}(p^1 \Vert p^2) $$
#
# - $p^1$, $p^2$: probabilities of `first` and `second` at temperature 1; $y$: label
# - In $L_1$ the target $p^2$ is a constant, in $L_2$ it is $p^1$.
#
# (Zhang et al. 2018, section 2.1.) Both losses belong to the same forward pass. The paper's algorithm updates the
# second student after the first has moved; here both move together, so that swapping them changes nothing.

# %% [markdown]
# ## You write: two losses
#
# <details><summary>Hint</summary>
# `KL(a || b)` with `torch.nn.functional.kl_div`: which of the two is given as logarithm, and in which place? What must
# not have a gradient?
# </details>

# %% nbgrader={"grade_id": "dml_losses", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.mutual_learning import dml_losses

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_dml_losses", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def both_slopes(dml_losses, first, second, labels):
    found = []
    for number in range(2):
        leaves = [part.clone().requires_grad_() for part in (first, second)]
        values = dml_losses(leaves[0], leaves[1], labels)
        values[number].backward()
        found.append({"value": values[number].detach(), "slopes": [leaf.grad for leaf in leaves]})
    return found


first, second = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.4, 0.6]]).log()
checks.assert_close(
    list(dml_losses(first, second, torch.tensor([0]))),
    [0.605, 1.251],
    "both losses of the example by hand",
    atol=2e-3,
    hint="each: its own cross-entropy plus KL(the other || itself)",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("dml_losses")
for count, known, classes in ((8, 8, 10), (6, 2, 4), (5, 0, 7), (1, 1, 3)):
    pair = [2 * torch.randn(count, classes, generator=generator) for _ in range(2)]
    labels = torch.randint(classes, (count,), generator=generator)
    labels[torch.randperm(count, generator=generator)[: count - known]] = -100
    has = labels != -100
    evidence = both_slopes(dml_losses, pair[0], pair[1], labels)
    for number, name in enumerate(("first", "second")):
        own, other = (pair[index].double().softmax(dim=-1) for index in (number, 1 - number))
        value = (other * (other / own).log()).sum(dim=-1).mean()
        slope = (own - other) / count
        if known:
            value += -own[has, labels[has]].log().mean()
            hot = torch.nn.functional.one_hot(labels[has], classes)
            slope[has] += (own[has] - hot) / known
        case = f"the {name}, {known} of {count} labels, {classes} classes"
        checks.assert_close(
            evidence[number]["value"],
            value,
            f"loss of {case}",
            rtol=1e-4,
            atol=1e-4,
            hint="mean cross-entropy over labelled rows, plus the mean of KL(other || own) over all rows",
        )
        checks.assert_close(
            evidence[number]["slopes"][number],
            slope,
            f"gradient of {case}",
            atol=1e-5,
            hint="(own − label) / labelled + (own − other) / rows",
        )
        peer = evidence[number]["slopes"][1 - number]
        checks.assert_true(
            peer is None or not bool(peer.any()),
            f"no gradient in the other student, loss of {case}",
            hint="detach the other one's answer",
        )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: agreement
#
# Accuracy does not say whether two networks make the same mistakes. Agreement does.

# %% nbgrader={"grade_id": "agreement", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.mutual_learning import agreement

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_agreement", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
first = torch.tensor([[3.0, 1.0], [0.0, 2.0], [1.0, 0.0], [0.5, 0.0]])
second = torch.tensor([[9.0, 1.0], [4.0, 2.0], [0.0, 1.0], [0.1, 0.0]])
checks.assert_close(agreement(first, second), 0.5, "two of four answers alike", atol=1e-9)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("agreement")
for count, classes in ((70, 10), (33, 3), (500, 5)):
    first, second = torch.randn(2, count, classes, generator=generator)
    second = second + 0.8 * first
    alike = [int(a.argmax()) == int(b.argmax()) for a, b in zip(first, second, strict=True)]
    checks.assert_close(
        agreement(first, second),
        sum(alike) / count,
        f"share of equal answers, {count} rows",
        atol=1e-6,
        hint="the most probable class of each, compared row by row",
    )
checks.assert_close(agreement(first, 7 * first - 2), 1.0, "the same student with larger logits", atol=1e-9)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: training together
#
# Watch the order: both forward passes, both losses, both backward passes, both steps. A student that has moved before
# the other has learned is another student.

# %% nbgrader={"grade_id": "mutual_train", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.mutual_learning import mutual_train

# %% [markdown]
# ### Check
#
# The check trains two networks of different widths for a few steps and compares their losses and answers with what the
# docstring prescribes; then the same two, swapped.


# %% nbgrader={"grade_id": "test_mutual_train", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
@probe
def trained_pair(mutual_train, widths, rows, shown, options):
    from labkit import evaluation, zoo

    pair = [
        zoo.build(
            "vit",
            seed=width,
            num_hidden_layers=1,
            hidden_size=width,
            intermediate_size=width,
            num_attention_heads=2,
        ).eval()
        for width in widths
    ]
    history = mutual_train(pair[0], pair[1], rows, **options)
    modes = [network.training for network in pair]
    return {
        "history": [[float(value) for value in step] for step in history],
        "answers": [evaluation.logits(network.eval(), {"pixel_values": shown}).detach() for network in pair],
        "modes": modes,
    }


generator = torch.Generator().manual_seed(9)
rows = {"pixel_values": torch.randn(24, 1, 28, 28, generator=generator), "labels": torch.arange(24) % 10}
shown = torch.randn(16, 1, 28, 28, generator=generator)
options = {"steps": 4, "batch": 8, "learning_rate": 0.02, "seed": 1}
evidence = trained_pair(mutual_train, [8, 12], rows, shown, options)
checks.assert_equal(
    [len(step) for step in evidence["history"]], [2, 2, 2, 2], "two losses for each of four steps"
)
checks.assert_true(
    evidence["history"][-1] != evidence["history"][0],
    "losses change",
    hint="both students are trained in place",
)
### BEGIN HIDDEN TESTS
from reference_impl.distillation.mutual_learning import mutual_train as expected_mutual_train


def mini(width):
    sizes = {
        "num_hidden_layers": 1,
        "hidden_size": width,
        "intermediate_size": width,
        "num_attention_heads": 2,
    }
    return zoo.build("vit", seed=width, **sizes)


generator = checks.hidden_generator("mutual_train")
for widths, known, options in (
    ([8, 16], 32, {"steps": 7, "batch": 8, "seed": 6, "learning_rate": 0.02}),
    ([16, 8], 10, {"steps": 5, "batch": 16, "learning_rate": 0.03}),
    ([12, 6], 0, {"steps": 4, "batch": 8, "seed": 2, "learning_rate": 0.02}),
):
    labels = torch.randint(10, (32,), generator=generator)
    labels[known:] = -100
    rows = {"pixel_values": torch.randn(32, 1, 28, 28, generator=generator), "labels": labels}
    shown = torch.randn(20, 1, 28, 28, generator=generator)
    evidence = trained_pair(mutual_train, widths, rows, shown, options)
    pair = [mini(width) for width in widths]
    history = expected_mutual_train(pair[0], pair[1], rows, **options)
    case = f"widths {widths[0]} and {widths[1]}, {known} of 32 labels"
    checks.assert_close(
        evidence["history"],
        [list(step) for step in history],
        f"losses of each step, {case}",
        rtol=2e-3,
        atol=2e-3,
        hint="both from the same forward pass, before either moves; learning rate falling from step 0; clip at 1",
    )
    for number, name in enumerate(("first", "second")):
        checks.assert_close(
            evidence["answers"][number],
            evaluation.logits(pair[number], {"pixel_values": shown}).double(),
            f"answers of the {name}, {case}",
            rtol=5e-3,
            atol=5e-3,
            hint="one AdamW each, without weight decay",
        )
    checks.assert_equal(
        evidence["modes"], [False, False], f"train mode at the end, {case}", hint="call eval()"
    )
    swapped = trained_pair(mutual_train, widths[::-1], rows, shown, options)
    for number in range(2):
        checks.assert_close(
            swapped["answers"][1 - number],
            evidence["answers"][number].double(),
            f"the pair swapped, {case}",
            rtol=5e-3,
            atol=5e-3,
            hint="neither student comes first",
        )
### END HIDDEN TESTS

# %% [markdown]
# ### Check: two students
#
# The check trains two students of 41,770 parameters together with your function, 200 steps on 600 labelled pictures.
# It also trains the same two apart. On pictures you do not have it compares how far each pair is apart: the divergence
# KL(one ‖ other), both ways, averaged.


# %% nbgrader={"grade_id": "test_pair", "solution": false, "grade": true, "locked": true, "points": 7, "schema_version": 3, "task": false}
@probe
def full_pair(mutual_train, steps, seed):
    pair = [small(seed), small(seed + 1)]
    mutual_train(pair[0], pair[1], known_pictures(), steps=steps, seed=seed)
    return [{key: value.detach() for key, value in network.state_dict().items()} for network in pair]


states = full_pair(mutual_train, 2, 3)
checks.assert_true(
    not torch.equal(states[0]["classifier.weight"], states[1]["classifier.weight"]),
    "two networks, not one",
    hint="each student keeps its own parameters",
)
### BEGIN HIDDEN TESTS
from heldout import fashion as unseen


def apart(pair, rows):
    one, other = (evaluation.logits(network.eval(), rows).double().log_softmax(dim=-1) for network in pair)
    return float(((one.exp() - other.exp()) * (one - other)).sum(dim=-1).mean() / 2)


seed = int(torch.randint(1_000_000, (1,), generator=checks.hidden_generator("pair")))
together, alone = ([small(seed), small(seed + 1)] for _ in range(2))
for network, state in zip(together, full_pair(mutual_train, 200, seed), strict=True):
    network.load_state_dict(state)
for network in alone:
    training.fit(network, known_pictures(), steps=200, learning_rate=2e-3, seed=seed)
rows = data.tensors(unseen())
checks.assert_at_most(
    apart(together, rows) / apart(alone, rows),
    0.8,
    "divergence of two students trained together over that of two trained apart",
    hint="students who do not learn from each other have 1; does each loss hold the other's answer?",
)
for network in together:
    checks.assert_at_least(
        evaluation.quality(network, rows)[1],
        0.6,
        "test accuracy of each student",
        hint="two students that agree on nonsense agree too; the labels have to be in both losses",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# Two students together, two apart, the same seeds, the same batches. Which pair is more accurate, which agrees more?
# And if you average the probabilities of each pair: which average is better? Write down your guess for all three.

# %%
rows, validation = known_pictures(), data.tensors(data.fashion()["validation"])
pairs = {name: [small(0), small(1)] for name in ("apart", "together")}
for network in pairs["apart"]:
    training.fit(network, rows, steps=200, learning_rate=2e-3)
history = mutual_train(*pairs["together"], rows, steps=200)

# %%
answers = {
    name: [evaluation.logits(network, validation) for network in networks] for name, networks in pairs.items()
}
for name, (one, other) in answers.items():
    mean = (one.softmax(-1) + other.softmax(-1)) / 2
    right = [evaluation.accuracy(part, validation["labels"]) for part in (one, other, mean)]
    print(
        f"{name:9s} accuracy {right[0]:.3f} and {right[1]:.3f}, both averaged {right[2]:.3f}, "
        f"agreement {agreement(one, other):.3f}"
    )

# %%
grid = torch.linspace(0, 1, 21)
curves = {}
for name, parts in answers.items():
    sure = torch.cat([part.softmax(-1).amax(-1) for part in parts])
    curves[name] = [(sure >= level).double().mean().item() for level in grid]
plots.show(
    plots.lines(
        grid.tolist(),
        curves,
        x_label="largest probability of an answer",
        y_label="share of answers at least as sure",
        alt="Share of answers at least as sure as a given probability. Apart, 0.48 of the answers are at least 90% sure; "
        "together, 0.37. Above 0.4 the curve of the pair that learned together lies below the other one.",
    )
)

# %% [markdown]
# Students who learned together are less sure: 37% of their answers are at least 90% sure, apart 48%. Each was held back
# where the other one doubted. The rest of this run lies within what 1,000 pictures can tell; five seeds and 2,000
# pictures say:
#
# | test pictures, five seeds | apart | together |
# |---|---|---|
# | accuracy, mean of the two | 0.705 (0.700 to 0.710) | 0.715 (0.707 to 0.725) |
# | agreement | 0.723 (0.714 to 0.742) | 0.790 (0.773 to 0.804) |
# | accuracy of both averaged | 0.732 (0.722 to 0.738) | 0.736 (0.726 to 0.745) |
#
# (`python -m reference_impl.distillation.cohorts peers`)

# %% [markdown]
# ## Measure

# %%
named = {f"{name} {number}": network for name, pair in pairs.items() for number, network in enumerate(pair)}
table = evaluation.report(named, validation, latency_rows=1, repeats=3)
print(evaluation.show(table[["parameters", "MACs a row", "latency (ms)", "accuracy", "recovery"]]))

# %% [markdown]
# Each student gains a point, the pair as a team next to nothing: 0.732 against 0.736. What an ensemble gains comes from
# disagreement, and mutual learning spends it. If you can afford to run both networks, train them apart. If you can run
# one, the other was worth a point; it cost a second training.
#
# Pictures without labels do not help here. With the 600 labelled pictures five times and 8,000 unlabelled ones once,
# in the same 200 steps, the pair agrees on 0.828 and is right on 0.689, less than alone: the students see each label
# less often, and teach each other what neither knows.

# %% [markdown]
# ## What goes wrong
#
# - **The gradient goes through the peer.** Without `detach` each student is also rewarded for making the other's task
#   easy. The two losses stop being two.
# - **One after the other.** The second student's target is a student that has moved. It trains, and the check of the
#   swapped pair fails.
# - **Two names for one network.** `second = first` agrees perfectly from the first step.
# - **Agreement taken for accuracy.** Two students without labels agree more and more, on nonsense.

# %% [markdown]
# ## At full size
#
# One step of two published ViTs. Where the weights or a GPU are missing, the cell says so in one line.

# %%
try:
    full = [zoo.load("vit", profile="full").cpu() for _ in range(2)]
except zoo.Unavailable as reason:
    print(reason)
else:
    side = full[0].config.image_size
    few = nn.functional.interpolate(validation["pixel_values"][:8], size=(side, side)).expand(-1, 3, -1, -1)
    some = {"pixel_values": few, "labels": validation["labels"][:8]}
    print(mutual_train(full[0], full[1], some, steps=1, batch=4, learning_rate=1e-5))

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), section 10: many teachers,
#   and none.
# - Anil et al. 2018 (arXiv 1804.03235): peers on many machines, some steps old; agreement between retrainings as a goal
#   of its own.
# - Lan et al. 2018 (arXiv 1806.04606): the peers as branches of one network.
