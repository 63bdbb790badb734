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
# # Soft labels and temperature
#
# You read what a classifier says about the wrong answers, make it audible with a temperature, and write the loss that
# teaches it to another network.
#
# | | |
# |---|---|
# | You will be able to | soften a teacher's answer, measure how much it says, and write the distillation loss and its gradient |
# | Time | about 70 minutes |
# | Points | 24 of the lab's 100 |
# | You need | softmax and cross-entropy; what a gradient is |
# | Papers | Hinton et al. 2015, Distilling the Knowledge in a Neural Network (arXiv 1503.02531); Ba & Caruana 2013 (arXiv 1312.6184); Stanton et al. 2021, Does Knowledge Distillation Really Work? (arXiv 2106.05945) |

# %% [markdown] lang="zh-TW"
# # 軟標籤與溫度
#
# 你會讀出分類器對錯誤答案的看法、用溫度把它放大，並撰寫能教給另一個網路的損失函數。
#
# | | |
# |---|---|
# | 完成後你能 | 軟化教師的輸出、衡量其中的資訊量，並撰寫蒸餾損失與其梯度 |
# | 時間 | 約 70 分鐘 |
# | 配分 | 本實驗 100 分中的 24 分 |
# | 先備知識 | softmax 與交叉熵；梯度是什麼 |
# | 論文 | Hinton et al. 2015 (arXiv 1503.02531)；Ba & Caruana 2013 (arXiv 1312.6184)；Stanton et al. 2021 (arXiv 2106.05945) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
import math

import torch
from labkit import checks, data, evaluation, ops, plots, runtime, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor

runtime.start(seed=391)
bert = zoo.load("bert")
sentences = data.languages()["validation"]
languages = sentences.features["label"].names
rows = data.tensors(sentences)
answers = evaluation.logits(bert, {key: value for key, value in rows.items() if key != "labels"})

# %% [markdown]
# ## Why
#
# Our classifier names the language of a sentence. For "nueva vista para %1" it says Spanish, 84%. It also says
# Portuguese, 12%, Galician, 3%, and Danish, 0.005%. The label in the data says Spanish and nothing else.
#
# Nobody ever told the network that Spanish is nearer to Portuguese than to Danish. It found out, and the label does
# not pass it on. A smaller network can learn it from the larger one's answers.

# %% [markdown]
# ## By hand
#
# Take three of the ten classes, with logits rounded: Spanish 5.4, Portuguese 3.4, Galician 2.0. A temperature divides
# the logits before the softmax.
#
# | | Spanish | Portuguese | Galician | entropy |
# |---|---|---|---|---|
# | logits | 5.4 | 3.4 | 2.0 | |
# | $e^{t}$ | 221.4 | 30.0 | 7.4 | |
# | probability at $T = 1$ | 0.856 | 0.116 | 0.029 | 0.70 bits |
# | $e^{t/4}$ | 3.86 | 2.34 | 1.65 | |
# | probability at $T = 4$ | 0.492 | 0.298 | 0.210 | 1.50 bits |
#
# The order stays. The distances shrink. At $T = 1$ a loss hardly sees that Portuguese is four times as probable as
# Galician, because both are small; at $T = 4$ it sees 0.298 and 0.210.
#
# A student that knows nothing says 1/3, 1/3, 1/3. At $T = 1$ the gradient for its logits is its probability less the
# teacher's: −0.522, 0.218, 0.305. At $T = 4$ the difference of probabilities is smaller, −0.158, 0.035, 0.123. Then
# one divides by $T$ once more, since $s/T$ moves by a quarter when $s$ moves by one. The loss gets a factor $T^2$ so
# that changing $T$ does not change the size of the whole: −0.632, 0.141, 0.491.

# %% [markdown]
# ## Formula
#
# $$ p^t_T = \mathrm{softmax}(t / T), \qquad L = T^2\,\mathrm{KL}(p^t_T \Vert p^s_T) = T^2 \sum_i p^t_{T,i}
# \left(\log p^t_{T,i} - \log p^s_{T,i}\right), \qquad \frac{\partial L}{\partial s_i} = T \left(p^s_{T,i} - p^t_{T,i}\right)
# $$
#
# - $t$, $s$: logits of teacher and student for one sentence, `teacher` and `student` in the code; $T$: `temperature`
# - $L$ for a batch of $B$ sentences is the mean over the sentences, so its gradient has a factor $1/B$
# - natural logarithm in the loss (nats); entropies are shown in bits, $H = -\sum_i p_i \log_2 p_i$
#
# (Hinton et al. 2015, equations 1 and 2; the factor is in their section 2.1.)

# %% [markdown]
# ## You write: a softer answer
#
# <details><summary>Hint</summary>
# Which axis holds the classes when there are two axes, and when there are three?
# </details>

# %% nbgrader={"grade_id": "soften", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.temperature import soften

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_soften", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
checks.assert_close(
    soften(torch.tensor([5.4, 3.4, 2.0]), 4.0),
    [0.4916, 0.2982, 0.2102],
    "the example by hand",
    atol=1e-4,
    hint="divide the logits by the temperature, then softmax",
)
checks.assert_shape(
    soften(torch.zeros(4, 3), 2.0), (4, 3), "shape for a batch", hint="one distribution for each row"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("soften")
for shape in ((7,), (6, 4), (3, 2, 5), (4, 4)):
    for temperature in (0.5, 1.0, 3.0, 20.0):
        logits = 4 * torch.randn(shape, generator=generator)
        weights = (logits.double() / temperature).exp()
        checks.assert_close(
            soften(logits, temperature),
            weights / weights.sum(-1, keepdim=True),
            f"logits of shape {shape} at temperature {temperature}",
            atol=1e-5,
            hint="the softmax runs over the last axis, the classes",
        )
large = torch.tensor([[900.0, 890.0, 0.0]])
checks.assert_close(
    soften(large, 10.0),
    (large / 10).softmax(-1),
    "large logits",
    atol=1e-6,
    hint="e to the 90 has no float32; torch's softmax subtracts the maximum first",
)
checks.assert_equal(
    str(soften(torch.zeros(2, dtype=torch.float64), 2.0).dtype),
    "torch.float64",
    "dtype",
    hint="keep the dtype of the logits",
)
for temperature in (0, -2.0):
    checks.assert_raises(
        "ValueError",
        soften,
        torch.zeros(3),
        temperature,
        label=f"temperature {temperature}",
        hint="refuse what is not above 0",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: how much an answer says
#
# The entropy of an answer is high when several classes are likely. With ten classes it is at most $\log_2 10 = 3.32$
# bits. Probabilities may be exactly zero; such a class adds nothing.
#
# <details><summary>Hint</summary>
# What is 0 · log 0 in floating point, and what should it be here?
# </details>

# %% nbgrader={"grade_id": "entropy", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.temperature import entropy

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_entropy", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
checks.assert_close(
    entropy(torch.tensor([0.5, 0.25, 0.125, 0.125])),
    1.75,
    "entropy of 1/2, 1/4, 1/8, 1/8",
    atol=1e-5,
    hint="in bits: 0.5 · 1 + 0.25 · 2 + 0.125 · 3 + 0.125 · 3",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("entropy")
for shape in ((9,), (5, 6), (2, 3, 4)):
    p = torch.rand(shape, generator=generator, dtype=torch.float64).add(0.05)
    p /= p.sum(-1, keepdim=True)
    checks.assert_close(
        entropy(p.float()),
        -(p * p.log()).sum(-1) / math.log(2),
        f"random distributions of shape {shape}",
        atol=1e-5,
        hint="minus the sum over the last axis of p times log2 p, one number for each row",
    )
sure = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
checks.assert_finite(entropy(sure), "entropy where a class has probability 0", hint="0 · log 0 counts as 0")
checks.assert_close(
    entropy(sure), [0.0, 1.0], "entropy where a class has probability 0", atol=1e-5, hint="it adds nothing"
)
small = torch.full((1001,), 1e-5)
small[0] = 0.99
checks.assert_close(
    entropy(small),
    -(small.double() * small.double().log2()).sum(),
    "a thousand classes of probability 0.00001",
    atol=1e-4,
    hint="do not replace small probabilities by larger ones: only an exact 0 needs care",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the loss
#
# The order of the arguments is the student first, as in a call of torch's losses. In the divergence the teacher is
# first: the sum is weighted by the teacher's probabilities.
#
# Two things are easy to overlook. The teacher is not trained, so no gradient may reach its logits. And a probability
# of a very sure network is 0 in float32, whose logarithm is −∞; log-probabilities from logits are fine.
#
# <details><summary>Hint 1</summary>
# What does torch offer that gives log-probabilities from logits in one step?
# </details>
# <details><summary>Hint 2</summary>
# The mean is over sentences, not over sentences and classes. Compare your result for a batch of two equal rows with
# that for one row.
# </details>

# %% nbgrader={"grade_id": "kd_loss", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.temperature import kd_loss

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_kd_loss", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
@probe
def gradients_of_loss(kd_loss, student, teacher, temperature):
    leaves = [student.clone().requires_grad_(), teacher.clone().requires_grad_()]
    value = kd_loss(leaves[0], leaves[1], temperature)
    value.backward()
    received = [leaf.grad for leaf in leaves]
    return {"value": value.detach(), "student": received[0], "teacher": received[1]}


by_hand = torch.tensor([[5.4, 3.4, 2.0]])
checks.assert_close(
    kd_loss(torch.zeros(1, 3), by_hand, 1.0),
    math.log(3) - 0.6992 * math.log(2),
    "a student that knows nothing, T = 1",
    atol=1e-3,
    hint="log 3 less the teacher's entropy in nats",
)
checks.assert_close(
    kd_loss(by_hand + 7, by_hand, 3.0),
    0.0,
    "a student whose logits are 7 higher",
    atol=1e-5,
    hint="a constant added to a row changes no probability",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("kd_loss")
for batch, classes, temperature in ((1, 4, 1.0), (6, 10, 4.0), (5, 3, 0.7), (3, 50, 12.0)):
    student, teacher = (3 * torch.randn(batch, classes, generator=generator) for _ in range(2))
    own, wanted = ((part.double() / temperature).log_softmax(-1) for part in (student, teacher))
    value = temperature**2 * (wanted.exp() * (wanted - own)).sum() / batch
    case = f"{batch} sentences, {classes} classes, T = {temperature}"
    checks.assert_close(
        kd_loss(student, teacher, temperature),
        value,
        f"loss, {case}",
        rtol=1e-4,
        atol=1e-5,
        hint="T² times the mean over sentences of KL(teacher || student), both softened",
    )
    evidence = gradients_of_loss(kd_loss, student, teacher, temperature)
    checks.assert_close(
        evidence["student"],
        temperature / batch * (own.exp() - wanted.exp()),
        f"gradient for the student, {case}",
        atol=1e-5,
        hint="the gradient must flow through the student's log-probabilities",
    )
    checks.assert_true(
        evidence["teacher"] is None or not bool(evidence["teacher"].any()),
        f"gradient for the teacher is zero, {case}",
        hint="detach the teacher: it is a target",
    )
far = [torch.tensor([[300.0, -300.0, 0.0]]), torch.tensor([[-300.0, 300.0, 0.0]])]
checks.assert_finite(
    kd_loss(*far, 1.0), "loss of two networks that are sure of different classes", hint="use log_softmax"
)
checks.assert_close(
    kd_loss(*far, 1.0),
    600.0,
    "loss of two networks that are sure of different classes",
    rtol=1e-4,
    hint="the log of a probability that is 0 in float32 is lost; log_softmax of the logits is not",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the gradient
#
# Written out, the gradient is short enough to see what the temperature does to it. Return it for a batch, without
# automatic differentiation.
#
# <details><summary>Hint</summary>
# The formula above is for one sentence. What does the mean over the batch add?
# </details>

# %% nbgrader={"grade_id": "kd_gradient", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.temperature import kd_gradient

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_kd_gradient", "solution": false, "grade": true, "locked": true, "points": 7, "schema_version": 3, "task": false}
checks.assert_close(
    kd_gradient(torch.zeros(1, 3), torch.tensor([[5.4, 3.4, 2.0]]), 1.0),
    [[-0.5222, 0.2175, 0.3047]],
    "the example by hand, T = 1",
    atol=1e-3,
    hint="the student's probabilities less the teacher's",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("kd_gradient")
for batch, classes, temperature in ((1, 5, 2.0), (7, 10, 4.0), (4, 3, 0.6), (2, 30, 16.0)):
    student, teacher = (3 * torch.randn(batch, classes, generator=generator) for _ in range(2))
    leaf = student.double().requires_grad_()
    wanted = (teacher.double() / temperature).softmax(-1)
    value = -(temperature**2) * (wanted * (leaf / temperature).log_softmax(-1)).sum(-1).mean()
    value.backward()
    checks.assert_close(
        kd_gradient(student, teacher, temperature),
        leaf.grad,
        f"gradient, {batch} sentences, {classes} classes, T = {temperature}",
        atol=1e-5,
        hint="T / batch times the difference of the softened probabilities",
    )
centred = [part - part.mean(-1, keepdim=True) for part in (student.double(), teacher.double())]
checks.assert_close(
    kd_gradient(student.double(), teacher.double(), 1e4),
    (centred[0] - centred[1]) / classes / batch,
    "gradient at T = 10,000",
    atol=5e-4,  # the next term of the series: the square of a logit over 2 T classes batch
    hint="at high temperature it becomes the difference of centred logits, divided by classes and batch",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# The plot shows the mean of what the teacher says about all Danish sentences of the validation data, at $T = 1$ and
# at $T = 4$. Which language comes second? How many languages can you tell apart from the rest at $T = 1$, and how
# many at $T = 4$?

# %%
danish = answers[rows["labels"] == languages.index("da")]
figure, axes = plots.figure(
    alt="Mean probabilities of ten languages for Danish sentences. At temperature 1 Danish has 0.58, Norwegian 0.34, "
    "Swedish 0.05 and the others almost nothing. At temperature 4 Danish has 0.27, Norwegian 0.24, Swedish 0.11, and "
    "the Romance languages lie between 0.03 and 0.09."
)
for offset, temperature in ((-0.2, 1.0), (0.2, 4.0)):
    mean = soften(danish, temperature).mean(0)
    axes.bar(torch.arange(len(languages)) + offset, mean, width=0.4, label=f"T = {temperature:.0f}")
    print(
        f"T = {temperature:.0f}:",
        {name: round(p, 3) for name, p in zip(languages, mean.tolist(), strict=True)},
    )
axes.set_xticks(range(len(languages)), languages)
axes.set_ylabel("mean probability")
axes.legend()
plots.show(figure)

# %% [markdown]
# Danish, Norwegian (nb), Swedish: the teacher has the family tree of the northern languages, and the label of these
# sentences is "da" in every row. At $T = 4$ the other languages come apart too. Not all of that is knowledge. The
# teacher was never asked to have a sensible opinion on whether Danish is nearer to Romanian or to Italian.
#
# How much there is to hear depends on $T$:

# %%
for temperature in (1.0, 2.0, 4.0, 8.0):
    bits = entropy(soften(answers, temperature)).mean()
    print(f"T = {temperature:.0f}: {bits:.2f} bits on average, of {math.log2(len(languages)):.2f} possible")

# %% [markdown]
# At $T = 1$ the answers hold a third of a bit: nearly labels. At 8 they are nearly uniform. What is useful lies in
# between, and where depends on the size of the teacher's logits. A temperature from a paper is for that paper's
# teacher.

# %% [markdown]
# ## Measure
#
# The loss also tells how alike two networks are. Here the "students" are the teacher itself with its weights rounded
# to 4, 3 and 2 bits.

# %%
rounded = {"FP32": bert}
for bits in (4, 3, 2):
    rounded[f"{bits}-bit weights"] = ops.snap_weights(copy.deepcopy(bert), bits=bits, skip=("classifier",))
table = evaluation.report(rounded, rows, latency_rows=1, repeats=1)[["accuracy"]]
inputs = {key: value for key, value in rows.items() if key != "labels"}
given = {name: evaluation.logits(model, inputs) for name, model in rounded.items()}
table["same answer"] = [
    float((logits.argmax(-1) == answers.argmax(-1)).float().mean()) for logits in given.values()
]
for temperature in (1.0, 4.0):
    table[f"loss, T = {temperature:.0f}"] = [
        kd_loss(logits, answers, temperature).item() for logits in given.values()
    ]
print(table.round(4).to_string())

# %% [markdown]
# At 3 bits the accuracy is that of FP32, a little above it by chance. The loss sees a difference: 0.0017 at $T = 1$.
# From 3 to 2 bits accuracy falls by two points and the loss grows thirtyfold. Accuracy asks ten-way questions on
# 1,624 sentences; the loss compares ten numbers for each of them. This is also why it makes a good target for
# training.

# %% [markdown]
# ## What goes wrong
#
# - **No $T^2$.** The loss falls with the square of the temperature, at $T = 4$ to a sixteenth. Beside a cross-entropy
#   it then hardly counts, and the student learns from labels only. Alone under Adam the mistake is invisible.
# - **Probabilities in place of log-probabilities.** `torch.nn.functional.kl_div` wants the log of the student's. With
#   plain probabilities it returns a number, raises nothing, and trains something else.
# - **The divergence reversed.** It trains nearly as well here, so accuracy does not show it. It is another loss:
#   notebook 04 of lab 3.10 is about when one wants it.
# - **`reduction="mean"`.** It divides by the classes too. Ten times too small here, fifty thousand times for a
#   language model.
# - **Gradient into the teacher.** The teacher moves towards the student, the loss falls, and both are worse.

# %% [markdown]
# ## At full size
#
# The same two functions on a published BERT. Where its weights or a GPU are missing, the cell says so in one line.
# The published model has no trained classifier for our languages: its ten probabilities are near 0.1, at any
# temperature.

# %%
try:
    full = zoo.load("bert", profile="full")
    tokenizer = zoo.tokenizer("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    some = data.tensors(sentences.select(range(32)), tokenizer=tokenizer)
    logits = evaluation.logits(full, {key: value for key, value in some.items() if key != "labels"})
    for temperature in (1.0, 4.0):
        print(f"T = {temperature:.0f}: {entropy(soften(logits.float().cpu(), temperature)).mean():.2f} bits")

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), sections 1 and 3: dark
#   knowledge, the gradient derived, and its limit at high temperature.
# - Hinton et al. 2015 (arXiv 1503.02531): nine pages, and still the best introduction.
# - Ba & Caruana 2013 (arXiv 1312.6184): matching logits, the limit of high temperature, before there was a
#   temperature.
# - Stanton et al. 2021 (arXiv 2106.05945): how much of a teacher's answer students really take over.
