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
# # Teacher assistants
#
# You put a network of medium size between a large teacher and a small student, and measure against the student that
# has no such help.
#
# | | |
# |---|---|
# | You will be able to | space the sizes of a chain, distil along it, and set up the comparison that a claim about it needs |
# | Time | about 75 minutes |
# | Points | 24 of the lab's 100 |
# | You need | softmax and KL divergence; a training loop in PyTorch |
# | Papers | Mirzadeh et al. 2019, Improved Knowledge Distillation via Teacher Assistant (arXiv 1902.03393); Cho & Hariharan 2019 (arXiv 1910.01348); Son et al. 2020, Densely Guided (arXiv 2009.08825); Beyer et al. 2021 (arXiv 2106.05237) |

# %% [markdown] lang="zh-TW"
# # 助教模型
#
# 你會在大教師與小學生之間放一個中等大小的網路，再與沒有這個幫手的學生比較。
#
# | | |
# |---|---|
# | 完成後你能 | 安排鏈上各網路的大小、沿著鏈蒸餾，並設計檢驗這類主張所需的對照 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 24 分 |
# | 先備知識 | softmax 與 KL 散度；PyTorch 訓練迴圈 |
# | 論文 | Mirzadeh et al. 2019 (arXiv 1902.03393)；Cho & Hariharan 2019 (arXiv 1910.01348)；Son et al. 2020 (arXiv 2009.08825)；Beyer et al. 2021 (arXiv 2106.05237) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
from collections.abc import Mapping
from itertools import pairwise

import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=3111)
TOKENS = 64


def narrow(width: int, seed: int = 0) -> nn.Module:
    """An untrained Llama of two layers: hidden states of this width, three times as many inner units."""
    return zoo.build("llama", seed=seed, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=2)


# %% [markdown]
# ## Why
#
# The tiny Llama has hidden states of width 128 and 853,120 parameters. A student of width 32 and two layers has
# 41,120, 21 times fewer. Mirzadeh et al. report that such a jump is too wide, and that a student learns more from an
# assistant of medium size than from the teacher itself.
#
# An assistant has to be trained as well. So the question is what the same steps are worth without it. On our model
# the answer is plain. After 60 steps for the assistant and 60 for the student, the student's perplexity is 128. After
# 120 steps with the teacher alone it is 55.

# %% [markdown]
# ## By hand
#
# From width 128 to width 32 with one assistant. Equal steps would put it at 80: the first jump divides by 1.6, the
# second by 2.5. Equal ratios put it at $128 \cdot (32/128)^{1/2} = 64$, and each jump divides by 2. With two
# assistants: $128 \cdot (1/4)^{1/3} = 80.6$ and $128 \cdot (1/4)^{2/3} = 50.8$. Four heads of even width need a
# multiple of 8; in multiples of 16 the widths are 80 and 48.
#
# What a stage minimises, for one row of two tokens and a vocabulary of two. At the first token the teacher says 0.8,
# 0.2 and the student 0.5, 0.5: $0.8 \log 1.6 + 0.2 \log 0.4 = 0.376 - 0.183 = 0.193$. At the second both say 0.3,
# 0.7: 0. The mean over the two tokens is 0.096. Divided by the number of rows instead of the number of tokens it
# would be 0.193, and would grow with the length of the text.

# %% [markdown]
# ## Formula
#
# $$ n_i = n_0 \left(\frac{n_{k+1}}{n_0}\right)^{i/(k+1)}, \qquad
# L_i = \frac{T^2}{B\,N} \sum_{b,t} \mathrm{KL}\big(p^{(i-1)}_{T,b,t} \,\big\|\, p^{(i)}_{T,b,t}\big) $$
#
# - $n_0$: size of `teacher`; $n_{k+1}$: size of `student`; $k$: number of `assistants`; $n_i$: size of network $i$
# - $L_i$: what stage $i$ minimises, as a function of network $i$ alone
# - $p^{(i)}_T$: probabilities of network $i$ at temperature $T$; $B$ rows of $N$ tokens
#
# (Mirzadeh et al. 2019, equations 1 to 3 and section 4; the paper adds a cross-entropy with the labels, which we
# leave out, so that a network can only learn from the one before it.)

# %% [markdown]
# ## You write: sizes
#
# <details><summary>Hint</summary>
# Which two numbers does size $i$ depend on? Neither is the rounded size before it.
# </details>

# %% nbgrader={"grade_id": "assistant_sizes", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.assistants import assistant_sizes

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_assistant_sizes", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
checks.assert_equal(
    assistant_sizes(128, 32, 1),
    [128, 64, 32],
    "sizes with one assistant",
    hint="equal ratios, not equal differences; teacher and student belong to the list",
)
checks.assert_equal(
    assistant_sizes(128, 32, 2, multiple=16),
    [128, 80, 48, 32],
    "two assistants in multiples of 16",
    hint="round the quotient by 16, then multiply",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("assistant_sizes")
checks.assert_equal(
    assistant_sizes(100, 30, 0, multiple=16),
    [100, 30],
    "no assistant",
    hint="teacher and student stay as given, whatever the multiple",
)
tried = 0
while tried < 6:
    teacher, student, count, multiple = (
        int(torch.randint(low, high, (1,), generator=generator))
        for low, high in ((3000, 9000), (20, 200), (2, 6), (3, 9))
    )
    exact = [teacher ** (1 - i / (count + 1)) * student ** (i / (count + 1)) for i in range(1, count + 1)]
    if any(abs(value / multiple % 1 - 0.5) < 1e-3 for value in exact):
        continue
    wanted = [teacher, *(multiple * int(value / multiple + 0.5) for value in exact), student]
    tried += 1
    checks.assert_equal(
        assistant_sizes(teacher, student, count, multiple=multiple),
        wanted,
        f"sizes drawn at random, case {tried}",
        hint="each size from the two ends; only assistants are rounded, to the nearest multiple",
    )
for ends, count, multiple in (((4, 3), 1, 1), ((64, 64), 0, 1), ((32, 64), 1, 1), ((100, 90), 2, 16)):
    checks.assert_raises(
        "ValueError",
        assistant_sizes,
        *ends,
        count,
        multiple=multiple,
        label=f"{ends[0]} to {ends[1]}, {count} assistants, multiples of {multiple}, is refused",
        hint="look at the rounded list: does each size lie below the one before?",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: a loss over tokens
#
# <details><summary>Hint</summary>
# `reduction="batchmean"` of `torch.nn.functional.kl_div` divides by the length of the first axis only. What should
# the first axis hold?
# </details>

# %% nbgrader={"grade_id": "token_divergence", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.assistants import token_divergence

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_token_divergence", "solution": false, "grade": true, "locked": true, "points": 7, "schema_version": 3, "task": false}
@probe
def slopes(token_divergence, student, teacher, temperature):
    own, wanted = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    value = token_divergence(own, wanted, temperature=temperature)
    value.backward()
    return {"value": value.detach(), "student": own.grad, "teacher": wanted.grad}


checks.assert_close(
    token_divergence(
        torch.tensor([[[0.5, 0.5], [0.3, 0.7]]]).log(), torch.tensor([[[0.8, 0.2], [0.3, 0.7]]]).log()
    ),
    0.0964,
    "one row of two tokens, by hand",
    atol=1e-4,
    hint="a mean over tokens; the teacher's probabilities weigh the difference of the logarithms",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("token_divergence")
for rows, tokens, words, temperature in ((3, 5, 7, 1.0), (1, 4, 9, 2.5), (6, 1, 4, 0.6)):
    student, teacher = (2 * torch.randn(rows, tokens, words, generator=generator) for _ in range(2))
    found = slopes(token_divergence, student, teacher, temperature)
    own, wanted = ((part.double() / temperature).softmax(-1) for part in (student, teacher))
    value = temperature**2 * (wanted * (wanted / own).log()).sum(-1).mean()
    case = f"{rows} rows of {tokens} tokens, T = {temperature}"
    checks.assert_close(
        found["value"],
        value,
        f"divergence, {case}",
        rtol=1e-4,
        atol=1e-5,
        hint="T² times the mean over all rows and tokens of KL(teacher ‖ student), both softened",
    )
    checks.assert_close(
        found["student"],
        temperature * (own - wanted) / (rows * tokens),
        f"gradient, {case}",
        atol=1e-5,
        rtol=1e-3,
        hint="T · (p_student − p_teacher), divided by the number of tokens",
    )
    checks.assert_true(
        found["teacher"] is None or not bool(found["teacher"].any()),
        f"no gradient for the teacher, {case}",
        hint="detach the teacher's logits",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the chain
#
# <details><summary>Hint 1</summary>
# For three networks there are two stages. Who answers in the second, and in which state is it by then?
# </details>
# <details><summary>Hint 2</summary>
# `training.fit` takes `criterion`, a function of the model and a batch. A function made in a loop sees the loop's
# variables as they are when it is called.
# </details>

# %% nbgrader={"grade_id": "distill_chain", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.assistants import distill_chain

# %% [markdown]
# ### Check
#
# The check builds three or four small networks with dropout and running statistics, writes down which of them answers
# in which mode, and compares every tensor with what the docstring prescribes.


# %% nbgrader={"grade_id": "test_distill_chain", "solution": false, "grade": true, "locked": true, "points": 11, "schema_version": 3, "task": false}
@probe
def chained(distill_chain, states, rows, steps, rates, options):
    from types import SimpleNamespace

    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, place, state):
            super().__init__()
            words, width = state["look.weight"].shape
            self.place, self.look, self.norm = place, nn.Embedding(words, width), nn.BatchNorm1d(width)
            self.drop, self.last = nn.Dropout(0.2), nn.Linear(width, words)
            self.load_state_dict(state)

        def forward(self, input_ids):
            calls.append([self.place, self.training, torch.is_grad_enabled()])
            hidden = self.norm(self.look(input_ids).transpose(1, 2)).transpose(1, 2)
            return SimpleNamespace(logits=self.last(self.drop(hidden.tanh())))

    calls = []
    networks = [Net(place, state).train() for place, state in enumerate(states)]
    histories = distill_chain(networks, rows, steps, rates, **options)
    return {
        "histories": [[float(value) for value in history] for history in histories],
        "calls": calls,
        "states": [{key: value.clone() for key, value in net.state_dict().items()} for net in networks],
        "modes": [net.training for net in networks],
    }


generator = torch.Generator().manual_seed(8)
states = [
    {
        "look.weight": torch.randn(9, width, generator=generator),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
        "norm.running_mean": torch.randn(width, generator=generator),
        "norm.running_var": torch.ones(width),
        "norm.num_batches_tracked": torch.tensor(1),
        "last.weight": torch.randn(9, width, generator=generator),
        "last.bias": torch.zeros(9),
    }
    for width in (8, 5, 3)
]
rows = {"input_ids": torch.randint(9, (20, 6), generator=generator)}
evidence = chained(distill_chain, states, rows, [3, 4], [0.01, 0.02], {"batch": 4})
checks.assert_equal(
    [len(history) for history in evidence["histories"]],
    [3, 4],
    "steps of each stage",
    hint="one list a stage",
)
checks.assert_close(
    evidence["states"][0]["last.weight"],
    states[0]["last.weight"],
    "the teacher's last layer",
    hint="stage 1 trains networks[1]; nothing trains networks[0]",
)
### BEGIN HIDDEN TESTS
from reference_impl.distillation.assistants import distill_chain as expected_chain
from reference_impl.distillation.hidden_inputs_progressive import TokenNet, token_state

generator = checks.hidden_generator("distill_chain")
for widths, steps, rates, options in (
    ((12, 8, 5), [6, 4], [0.03, 0.01], {"temperature": 2.0, "batch": 8, "seed": 5}),
    ((9, 7, 5, 3), [3, 5, 4], [0.01, 0.03, 0.02], {"temperature": 0.7, "batch": 5, "seed": 40}),
    ((10, 6), [5], [0.02], {"batch": 16}),
):
    states = [token_state(width, generator) for width in widths]
    rows = {"input_ids": torch.randint(11, (40, 6), generator=generator)}
    evidence = chained(distill_chain, states, rows, steps, rates, options)
    networks = [TokenNet(state).train() for state in states]
    histories = expected_chain(networks, rows, steps, rates, **options)
    case = f"widths {list(widths)}"
    for stage, count in enumerate(steps, start=1):
        checks.assert_equal(
            evidence["calls"].count([stage - 1, False, False]),
            count,
            f"answers of network {stage - 1} as a teacher, {case}",
            hint=f"in stage {stage} networks[{stage - 1}] answers once a step, in eval mode, without gradient",
        )
    for stage, (found, wanted) in enumerate(zip(evidence["histories"], histories, strict=True), start=1):
        checks.assert_close(
            found,
            wanted,
            f"losses of stage {stage}, {case}",
            rtol=1e-3,
            atol=1e-3,
            hint="token_divergence from the network before, after its own stage; seed + stage; the given options",
        )
    for place, network in enumerate(networks):
        for key, value in network.state_dict().items():
            checks.assert_close(
                evidence["states"][place][key].double(),
                value.double(),
                f"{key} of network {place}, {case}",
                atol=3e-3,
                hint="each stage changes one network, and a network that answers is in eval mode",
            )
    checks.assert_equal(
        evidence["modes"], [False] * len(widths), f"train mode at the end, {case}", hint="all in eval mode"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# A student of width 32, taught in four ways:
#
# - by the teacher for 60 steps;
# - by an assistant of width 64, which the teacher has taught for 60 steps, for 60 steps;
# - by the teacher for 120 steps, as many as the chain has in both stages;
# - by the text alone for 120 steps, without any teacher.
#
# Which one has the lowest perplexity, and which the highest? The cell takes about 20 seconds.

# %%
teacher = zoo.load("llama")
train = data.tensors(data.prose()["train"], length=TOKENS)
validation = data.tensors(data.prose()["validation"], length=TOKENS, limit=128)
widths = assistant_sizes(128, 32, 1, multiple=16)
assistant = narrow(widths[1])
students = {
    name: narrow(widths[2]) for name in ("teacher, 60", "chain, 60 + 60", "teacher, 120", "text, 120")
}

histories = {
    "teacher, 60": distill_chain([teacher, students["teacher, 60"]], train, [60], [1e-2])[-1],
    "chain, 60 + 60": distill_chain(
        [teacher, assistant, students["chain, 60 + 60"]], train, [60, 60], [8e-3, 1e-2]
    )[-1],
    "teacher, 120": distill_chain([teacher, students["teacher, 120"]], train, [120], [1e-2])[-1],
    "text, 120": training.fit(students["text, 120"], train, steps=120, learning_rate=1e-2, batch=16),
}

# %%
table = evaluation.report(
    {"teacher": teacher, "assistant": assistant, **students}, validation, latency_rows=1, repeats=3
)
plots.show(
    plots.bars(
        table["perplexity"].iloc[1:].to_dict(),
        y_label="validation perplexity (per token)",
        alt="Validation perplexity after distillation. Assistant of width 64: 93.5. Students of width 32: 85.5 after 60 "
        "steps with the teacher, 128 after 60 steps with the assistant, 55.1 after 120 steps with the teacher, "
        "65.6 after 120 steps on the text alone.",
    )
)

# %% [markdown]
# ## Measure

# %%
print(evaluation.show(table[["parameters", "MACs a row", "latency (ms)", "perplexity", "recovery"]]))
for name in ("teacher, 60", "teacher, 120"):
    before, last = sum(histories[name][-20:-10]) / 10, sum(histories[name][-10:]) / 10
    print(f"{name}: divergence {before:.2f}, ten steps later {last:.2f}")

# %% [markdown]
# The chain comes last. In this run even the student that had half of its steps, all with the teacher, is far ahead of
# it: 85.5 against 128. The reason stands in the second row of the table: after 60 steps the assistant has perplexity
# 94, and a student can only learn from it what it knows. The fair comparison is with 120 steps, and there the gap is
# 55 to 128.
#
# Would a good assistant help? `python -m reference_impl.distillation.progressive_tables` gives all stages
# together 120, 480 and 1,920 steps, three seeds each, 256 validation blocks; in brackets the smallest and the largest:
#
# | steps in all | text alone | teacher, half of the steps | teacher, all steps | chain 128, 64, 32 |
# |---|---|---|---|---|
# | 120 | 66.4 (63.2 to 70.4) | 84.4 (79.5 to 88.1) | 52.9 (51.6 to 53.7) | 119.6 (113.7 to 129.9) |
# | 480 | 37.2 (37.1 to 37.2) | 39.8 (38.3 to 40.8) | 29.5 (29.0 to 30.0) | 39.9 (39.5 to 40.4) |
# | 1,920 | 24.2 (23.9 to 24.5) | 24.8 (24.4 to 25.1) | 22.4 (22.2 to 22.6) | 25.0 (24.8 to 25.3) |
#
# Read a row from the third column to the fifth. With 480 steps and more, the assistant teaches as well as the teacher
# does in as many steps: 39.9 against 39.8, 25.0 against 24.8. It is no better, and its own training is not paid back:
# the teacher with all steps is ahead in every run of every row. With 1,920 steps even the text alone is ahead of the
# chain. The paper saw a gain for image classifiers trained for many epochs. On this model, with these lengths, we do
# not.
#
# The two lines that the cell prints last show why more steps beat another teacher. The divergence between the student
# and its teacher is still falling when the 60 steps end: 1.97, and ten steps later 1.86, with a learning rate that has
# almost reached zero. What looks like a gap in capacity is a training run that was stopped. And look at the bar of the
# text: the teacher is worth ten points of perplexity at 120 steps, and two at 1,920. Distillation helps here. The
# assistant does not.

# %% [markdown]
# ## What goes wrong
#
# - **The comparison is not fair.** A chain of two stages of 60 steps is set against a student with 60 steps. Both the
#   assistant's training and the teacher's answers cost time; count the steps of all stages.
# - **The assistant learns from labels.** Then it is a smaller teacher and the chain ends at it. The loss falls as
#   nicely; the check looks at who answers.
# - **Every stage asks the first network.** `networks[0]` stands where the network before is meant. The student
#   comes out well, and the assistant's training was for nothing.
# - **A mean over rows.** `batchmean` on three axes divides by 16 rows, not by 1,024 tokens. Gradients are clipped at
#   norm 1 and AdamW does not care about scale, so the training looks right; the reported loss is 64 times too large.

# %% [markdown]
# ## At full size
#
# The plan of this course goes from a Llama of 13 billion parameters to one of 7. The cell plans the widths of
# two assistants for a published one and a quarter of its width. Where the weights or a GPU are missing, it says so in
# one line.

# %%
try:
    full = zoo.load("llama", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    width = full.config.hidden_size
    print(assistant_sizes(width, width // 4, 2, multiple=2 * full.config.num_attention_heads))

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), section 6: three
#   explanations of the gap, and how to tell them apart.
# - Mirzadeh et al. 2019 (arXiv 1902.03393): the assistant; look for the steps that each row of its tables has had.
# - Cho & Hariharan 2019 (arXiv 1910.01348): a better teacher is not a better teacher, and stopping it early helps.
# - Son et al. 2020 (arXiv 2009.08825): every network before it teaches a student, not the last one alone.
# - Beyer et al. 2021 (arXiv 2106.05237): patience closes the gap.
