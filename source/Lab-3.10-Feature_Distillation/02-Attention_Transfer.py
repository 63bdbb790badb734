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
# # Attention transfer
#
# You compare where two language models look, and find out how long it is worth teaching that.
#
# | | |
# |---|---|
# | You will be able to | write attention maps out of queries and keys, compare maps of models with different numbers of heads, and judge a gain that comes early and goes |
# | Time | about 90 minutes |
# | Points | 30 of the lab's 100, 8 of them for a written question |
# | You need | queries, keys and the causal mask; KL divergence |
# | Papers | Zagoruyko and Komodakis 2016, Attention Transfer (arXiv 1612.03928); Jiao et al. 2019, TinyBERT (arXiv 1909.10351); Vaswani et al. 2017 (arXiv 1706.03762) |

# %% [markdown] lang="zh-TW"
# # 注意力轉移
#
# 你會比較兩個語言模型注視的位置，並查明這件事值得教多久。
#
# | | |
# |---|---|
# | 完成後你能 | 由 query 與 key 寫出注意力圖、比較頭數不同的模型，並評斷一個來得早也去得早的好處 |
# | 時間 | 約 90 分鐘 |
# | 配分 | 本實驗 100 分中的 30 分，其中 8 分為書面題 |
# | 先備知識 | query、key 與因果遮罩；KL 散度 |
# | 論文 | Zagoruyko and Komodakis 2016 (arXiv 1612.03928)；Jiao et al. 2019, TinyBERT (arXiv 1909.10351)；Vaswani et al. 2017 (arXiv 1706.03762) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import torch
from labkit import checks, data, evaluation, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=3102)
STUDENT = {"n_embd": 64, "n_layer": 2}


def text_rows(split: str, limit: int | None = None) -> dict[str, Tensor]:
    """Blocks of 64 tokens of the addresses."""
    return data.tensors(data.prose()[split], length=64, limit=limit)


# %% [markdown]
# ## Why
#
# Where a layer looks is part of how it computes. Eighty steps on text bring a student of 141,056 parameters to a
# validation perplexity of 133. With the teacher's attention maps as a second target, the same 80 steps bring it to 125.
# With maps of where the teacher's activations are large, which go by the same name, it ends at 137, worse than without.
# This notebook grades the maps exactly and the gain not at all.

# %% [markdown]
# ## By hand
#
# A text of two real tokens and one of padding. The first token can look at itself alone. The second looks at the first
# and at itself: with 0.8 and 0.2 in the teacher (the mean of its heads), with 0.5 and 0.5 in the student.
#
# | query | teacher | student | KL(teacher ‖ student) |
# |---|---|---|---|
# | 1 | 1.0 | 1.0 | 0 |
# | 2 | 0.8, 0.2 | 0.5, 0.5 | 0.8 log 1.6 + 0.2 log 0.4 = 0.193 |
# | padding | looks at nothing | | does not count |
#
# The mean over two queries is 0.096. Divided by three queries it would be 0.064, and the more a batch is padded, the
# smaller.
#
# Attention transfer compares something else: how large the states are. The student's states are (3, 0, 0) and (2, 2,
# 2), with energies 9 and 12, a vector of length 15: (0.6, 0.8). The teacher's are (2, 2, 0, 0) and (1, 1, 2, 0), with
# energies 8 and 6, of length 10: (0.8, 0.6). The loss is 0.2² + 0.2² = 0.08. Widths differ and it does not matter; a
# teacher ten times as large has the same map.

# %% [markdown]
# ## Formula
#
# $$ A = \mathrm{softmax}\Big(\frac{QK^\top}{\sqrt d}\Big) , \quad
# L_{\text{KL}} = \frac{1}{|\mathcal Q|} \sum_{(q,k)\ \text{allowed}} \bar A^t_{qk} \log \frac{\bar A^t_{qk}}
# {\bar A^s_{qk}} , \quad
# L_{\text{AT}} = \frac1B \sum_b \Big\lVert \frac{e^s_b}{\lVert e^s_b \rVert} - \frac{e^t_b}{\lVert e^t_b \rVert}
# \Big\rVert^2 $$
#
# - $Q$, $K$ (tokens, $d$): queries and keys of a head; $\bar A$ (tokens, tokens): mean of the maps over a model's heads
# - $\mathcal Q$: queries that may look at something; $s$, $t$: student, teacher
# - $e_b$ (tokens): energies of text $b$, $e_{bi} = \sum_c h_{bic}^2$; $B$: texts of the batch
#
# (Vaswani et al. 2017, equation 1; TinyBERT, equation 7, with KL in place of squared differences; Zagoruyko and
# Komodakis, equation 2.) The third is called attention transfer too, and looks at no attention probability at all.

# %% [markdown]
# ## You write: what may be looked at
#
# <details><summary>Hint</summary>
# Two conditions on a pair come from the mask and one from the order. What does `Tensor.tril` keep of a square?
# </details>

# %% nbgrader={"grade_id": "allowed_pairs", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.attention import allowed_pairs

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_allowed_pairs", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
found = allowed_pairs(torch.tensor([[1, 1, 0]]))
checks.assert_equal(str(found.dtype), "torch.bool", "type of the pairs", hint="a mask to index with")
checks.assert_equal(
    found.int(),
    torch.tensor([[[1, 0, 0], [1, 1, 0], [0, 0, 0]]]),
    "the example by hand",
    hint="row q: what q may see",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("allowed_pairs")
for side in ("right", "left"):
    lengths = torch.randint(1, 7, (4,), generator=generator)
    mask = (torch.arange(7) < lengths[:, None]).long()
    mask = mask.flip(1) if side == "left" else mask
    wanted = torch.zeros(4, 7, 7)
    for row, query, key in [(r, q, k) for r in range(4) for q in range(7) for k in range(q + 1)]:
        wanted[row, query, key] = mask[row, query] * mask[row, key]
    checks.assert_equal(
        allowed_pairs(mask).int(),
        wanted,
        f"padding on the {side}",
        hint="both real, and the key not after the query",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: a map
#
# <details><summary>Hint 1</summary>
# Which axis has to sum to 1, and what does a sum over the other one mean?
# </details>
# <details><summary>Hint 2</summary>
# The softmax of a row of `-inf` is `nan`, and `nan` times 0 is `nan`. Which number is far enough below every score and
# still finite?
# </details>

# %% nbgrader={"grade_id": "attention_map", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.attention import attention_map

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_attention_map", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def map_gradient(attention_map, queries, keys, allowed):
    leaves = [queries.clone().requires_grad_(), keys.clone().requires_grad_()]
    made = attention_map(leaves[0], leaves[1], allowed)
    made.square().sum().backward()
    return {"made": made.detach(), "gradients": [leaf.grad for leaf in leaves]}


allowed = torch.tensor([[[True, False, False], [True, True, False], [False, False, False]]])
keys = torch.tensor([[[[2.0, 0.0], [0.0, 0.0], [9.0, 9.0]]]])
queries = torch.tensor([[[[5.0, 1.0], [0.98026, 0.0], [9.0, 9.0]]]])
found = attention_map(queries, keys, allowed)
checks.assert_close(
    found,
    [[[[1.0, 0.0, 0.0], [0.8, 0.2, 0.0], [0.0, 0.0, 0.0]]]],
    "a map by hand",
    atol=1e-4,
    hint="each row sums to 1 over the keys that are allowed; scores are divided by the root of d = 2",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("attention_map")
for batch, heads, tokens, width in ((2, 3, 6, 4), (3, 1, 5, 9)):
    queries, keys = (2 * torch.randn(batch, heads, tokens, width, generator=generator) for _ in range(2))
    lengths = torch.randint(1, tokens, (batch,), generator=generator)
    real = torch.arange(tokens) < lengths[:, None]
    allowed = (real[:, :, None] & real[:, None, :]).tril()
    evidence = map_gradient(attention_map, queries, keys, allowed)
    values = torch.eye(tokens, dtype=torch.float64).expand(batch, heads, tokens, tokens)
    fused = nn.functional.scaled_dot_product_attention(
        queries.double(), keys.double(), values, attn_mask=allowed[:, None] | ~real[:, None, :, None]
    )
    wanted = fused * real[:, None, :, None]
    case = f"{heads} heads, {tokens} tokens"
    checks.assert_close(
        evidence["made"],
        wanted,
        f"the fused kernel's map, {case}",
        atol=1e-5,
        hint="softmax over the keys, root of d",
    )
    checks.assert_finite(
        torch.cat([slope.flatten() for slope in evidence["gradients"]]),
        f"gradients with padding, {case}",
        hint="a query that may look at nothing must not spoil the others",
    )
### END HIDDEN TESTS

# %% [markdown]
# Your map against that of transformers. A fused kernel never forms the map, so attention maps need a model that was
# loaded with `attention="eager"`.

# %%
teacher = zoo.load("gpt2", attention="eager")
train, validation = text_rows("train"), text_rows("validation", 400)
some = validation["input_ids"][:4]
seen = {}
layer = teacher.transformer.h[1].attn
hook = layer.c_attn.register_forward_hook(lambda module, inputs, output: seen.update(qkv=output))
with torch.no_grad():
    answer = teacher(input_ids=some, output_attentions=True)
hook.remove()
queries, keys, values = (part.unflatten(-1, (4, 32)).transpose(1, 2) for part in seen["qkv"].chunk(3, -1))
own = attention_map(queries, keys, allowed_pairs(torch.ones_like(some)))
print(f"largest difference {(own - answer.attentions[1]).abs().max().item():.1e}, shape {tuple(own.shape)}")

# %% [markdown]
# ## You write: two distances
#
# <details><summary>Hint 1</summary>
# Student and teacher may have different numbers of heads. What do you do first?
# </details>
# <details><summary>Hint 2</summary>
# Both distances divide by something that depends on the mask: by how many queries, and by which length?
# </details>

# %% nbgrader={"grade_id": "attention_kl", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.attention import attention_kl

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_attention_kl", "solution": false, "grade": true, "locked": true, "points": 7, "schema_version": 3, "task": false}
@probe
def kl_gradient(attention_kl, student, teacher, allowed):
    leaf, target = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    value = attention_kl(leaf, target, allowed)
    value.backward()
    return {"value": value.detach(), "student": leaf.grad, "teacher": target.grad}


allowed = torch.tensor([[[True, False, False], [True, True, False], [False, False, False]]])
one = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])[None, None]
two = torch.tensor([[[1.0, 0, 0], [0.7, 0.3, 0], [0, 0, 0]], [[1.0, 0, 0], [0.9, 0.1, 0], [0, 0, 0]]])[None]
checks.assert_close(
    attention_kl(one, two, allowed),
    0.0964,
    "the example by hand, two heads in the teacher",
    atol=1e-4,
    hint="mean over the heads first; two queries count",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("attention_kl")
for batch, heads, tokens in ((3, (2, 4), 6), (2, (5, 1), 8), (1, (4, 4), 5)):
    lengths = torch.randint(2, tokens, (batch,), generator=generator)
    real = torch.arange(tokens) < lengths[:, None]
    allowed = (real[:, :, None] & real[:, None, :]).tril()
    maps = [
        (2 * torch.randn(batch, count, tokens, tokens, generator=generator))
        .masked_fill(~allowed[:, None], -1e9)
        .softmax(-1)
        for count in heads
    ]
    # a key that the teacher of row 0 never looks at; and what is not allowed holds rubbish
    maps[1][0, :, 1] = torch.eye(tokens)[0]
    rubbish = torch.rand(batch, 1, tokens, tokens, generator=generator)
    maps = [torch.where(allowed[:, None], made, rubbish) for made in maps]
    evidence = kl_gradient(attention_kl, maps[0], maps[1], allowed)
    own, goal = (made.double().mean(1) for made in maps)
    terms = goal * (goal.clamp_min(1e-6) / own.clamp_min(1e-6)).log() * allowed
    count = int(lengths.sum())
    case = f"{heads[0]} and {heads[1]} heads"
    checks.assert_close(
        evidence["value"],
        terms.sum() / count,
        f"divergence, {case}",
        rtol=1e-4,
        atol=1e-6,
        hint="KL(teacher || student) over allowed pairs, divided by the queries that see something",
    )
    slope = -(goal / own) * allowed / count / heads[0]
    checks.assert_close(
        evidence["student"],
        slope[:, None].expand(-1, heads[0], -1, -1),
        f"gradient, {case}",
        atol=1e-5,
        rtol=1e-3,
        hint="every head has the same gradient; what is not allowed has none",
    )
    checks.assert_true(
        evidence["teacher"] is None or not bool(evidence["teacher"].any()),
        f"no gradient for the teacher, {case}",
        hint="detach its maps",
    )
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "attention_transfer", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.distillation.attention import attention_transfer

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_attention_transfer", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def transfer_gradient(attention_transfer, student, teacher, mask):
    leaf, target = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    value = attention_transfer(leaf, target, mask)
    value.backward()
    return {"value": value.detach(), "student": leaf.grad, "teacher": target.grad}


student = torch.tensor([[[3.0, 0.0, 0.0], [2.0, 2.0, 2.0]]])
teacher_states = torch.tensor([[[2.0, 2.0, 0.0, 0.0], [1.0, 1.0, 2.0, 0.0]]])
both = torch.ones(1, 2, dtype=torch.long)
checks.assert_close(
    attention_transfer(student, teacher_states, both),
    0.08,
    "the example by hand",
    atol=1e-6,
    hint="(0.6, 0.8) and (0.8, 0.6)",
)
checks.assert_close(
    attention_transfer(student, 10 * teacher_states, both),
    0.08,
    "a teacher ten times as large",
    atol=1e-6,
    hint="normalise",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("attention_transfer")
for batch, tokens, narrow, wide in ((4, 6, 3, 5), (2, 9, 8, 4)):
    student = torch.randn(batch, tokens, narrow, generator=generator)
    teacher_states = 3 * torch.randn(batch, tokens, wide, generator=generator)
    lengths = torch.randint(1, tokens, (batch,), generator=generator)
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    evidence = transfer_gradient(attention_transfer, student, teacher_states, mask)
    leaf = student.double().requires_grad_()
    value = torch.zeros(()).double()
    for row, length in enumerate(lengths.tolist()):
        own = (leaf[row, :length] ** 2).sum(1)
        goal = (teacher_states[row, :length].double() ** 2).sum(1)
        value = value + (own / (own @ own).sqrt() - goal / (goal @ goal).sqrt()).square().sum() / batch
    value.backward()
    case = f"widths {narrow} and {wide}"
    for key, wanted, hint in (
        (
            "value",
            value.detach(),
            "padding out, a norm a text, squared differences summed over tokens, mean over texts",
        ),
        ("student", leaf.grad, "the normalisation is part of the loss: its gradient counts"),
    ):
        checks.assert_close(evidence[key], wanted, f"{key}, {case}", rtol=1e-3, atol=1e-5, hint=hint)
    checks.assert_true(
        evidence["teacher"] is None or not bool(evidence["teacher"].any()),
        f"no gradient for the teacher, {case}",
        hint="detach its states",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# Three students, 80 steps each: text alone, text and attention KL, text and energy maps. Each student layer learns
# from the teacher's layers 2 and 4. Which of them will predict the next word best? It takes about 20 seconds.


# %%
def distance(kind: str, own: object, goal: object, mask: Tensor) -> Tensor:
    """The part of the loss that compares layers 1 and 2 of the student with layers 2 and 4 of the teacher."""
    if kind == "attention KL":
        pairs = allowed_pairs(mask)
        parts = [attention_kl(own.attentions[i], goal.attentions[2 * i + 1], pairs) for i in range(2)]
        return torch.stack(parts).mean()
    states = [(own.hidden_states[i], goal.hidden_states[2 * i]) for i in (1, 2)]
    return 10 * torch.stack([attention_transfer(s, t, mask) for s, t in states]).mean()


def ask(model: nn.Module, tokens: Tensor) -> object:
    return model(input_ids=tokens, output_attentions=True, output_hidden_states=True)


# %%
students, texts = {}, {"text": [], "attention KL": [], "energy maps": []}
for kind, losses in texts.items():
    students[kind] = zoo.build("gpt2", seed=0, attention="eager", **STUDENT)

    def criterion(model: nn.Module, batch: dict[str, Tensor], kind=kind, losses=losses) -> Tensor:
        tokens = batch["input_ids"]
        own = ask(model, tokens)
        text = nn.functional.cross_entropy(own.logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        losses.append(text.item())
        if kind == "text":
            return text
        with torch.no_grad():
            goal = ask(teacher, tokens)
        return text + distance(kind, own, goal, torch.ones_like(tokens))

    training.fit(students[kind], train, steps=80, learning_rate=2.5e-3, batch=16, criterion=criterion)

# %%
smooth = {kind: torch.tensor(losses).view(-1, 8).mean(1).tolist() for kind, losses in texts.items()}
plots.show(
    plots.lines(
        range(8, 81, 8),
        smooth,
        x_label="step",
        y_label="text loss, mean of 8 steps (nats)",
        alt="Text loss of three students over 80 steps. All fall from 5.9 or 6.0 nats; in the end attention KL is at 4.88, text "
        "alone at 4.94 and energy maps at 4.99.",
    )
)

# %% [markdown]
# ## Measure

# %%
table = evaluation.report({"teacher": teacher, **students}, validation, latency_rows=1, repeats=3)
print(evaluation.show(table[["parameters", "MACs a row", "latency (ms)", "perplexity", "recovery"]]))

# %% [markdown]
# Attention KL is 6% ahead of text alone after 80 steps, energy maps are 3% behind. Three seeds, and three times as many
# steps (`python -m reference_impl.distillation.feature_tables`):
#
# | | after 80 steps | after 240 steps |
# |---|---|---|
# | text | 132.7, 134.9, 120.8 | 54.6, 54.4, 53.0 |
# | text and attention KL | 125.2, 129.9, 116.7 | 54.1, 54.0, 53.1 |
# | text and energy maps | 137.2, 138.6, 136.3 | 60.5, 60.7, 58.5 |
#
# The head start is real and small: it has the same sign in each of the three seeds. After 240 steps what is left is
# below the spread between seeds. Where to look is one of the first things a language model learns; text teaches it too,
# a little later.
#
# Energy maps do harm in every seed, early and late. They were made for pictures, where a large activation marks an
# object. What the size of a state means in a language model nobody promises, and asking a narrow student for it takes
# room from something else.

# %% [markdown]
# ## What goes wrong
#
# - **The softmax over the queries.** Each column sums to 1 in place of each row. The picture of the map looks plausible,
#   brightest near the diagonal. Sum both axes once.
# - **Maps from a fused model.** A model that was loaded without `attention="eager"` has no maps to give. Loaded with it,
#   it computes the same function.
# - **Everything divided by the whole square.** With 64 tokens, 2,080 of 4,096 pairs are allowed. A mean over the square
#   makes the loss 64 times smaller than a mean over queries, and the weight you took from a paper means nothing.
# - **Padding in the norm.** Then a text's map depends on how long the longest text of its batch is.

# %% [markdown]
# ## Question (8 points, graded by hand)
#
# A colleague shows you a plot like the one above and proposes attention KL for the training run of the product, which
# is to last a thousand times as long as ours.
#
# 1. Say what you expect of the gain as the steps grow, and why, in terms of what the map tells the student that the
#    text does not.
# 2. Measure it: text alone and attention KL, at two numbers of steps that differ at least three times, two seeds each
#    or more. Report every run.
# 3. Recommend something for the product, or say which measurement is still missing. Name one setting (data, student,
#    schedule or weight) in which you would keep attention KL.
#
# About 200 words. Cite numbers from your own cells.
#
# ### BEGIN MARK SCHEME
# - 3 points, expectation: the map is a shortcut to a pattern (look at the previous word, at the start) that the text
#   teaches too, later (1); it says nothing about values and states (1); so the gain should shrink with steps, or a
#   reason why not (1).
# - 3 points, measurement: two lengths that differ three times or more (1), two seeds or more for each at equal steps
#   (1), every run reported (1).
# - 2 points, a recommendation that follows from the numbers and their spread (1), and a setting with a reason, e.g.
#   little data, few steps, or a weight that falls to zero (1).
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade_id": "question_attention", "solution": true, "grade": true, "locked": false, "points": 8, "schema_version": 3, "task": false}
# ### BEGIN SOLUTION
# I expect a gain early and none late. The map tells the student where to look, for instance at the word before or at
# the start of the text. That is a small part of what it must learn, and the text teaches it as well, since looking there
# makes the next word easier to guess. The map says nothing about what is carried over from there: values, states and
# the feed-forward part. As soon as the student looks where it should, the term has nothing to add.
#
# Perplexities, seeds 0 to 2. After 80 steps: text 132.7, 134.9, 120.8; with attention KL 125.2, 129.9, 116.7, better in
# each seed, by 3 to 6%. After 240 steps: 54.6, 54.4, 53.0 and 54.1, 54.0, 53.1: under 1%, once with the other sign,
# and the seeds themselves differ by 3%.
#
# I would not use it in the product. The run is a thousand times as long, the gain is gone after three times as many
# steps, and every step has to ask the teacher as well. What is missing is a run with a larger student, which may be able
# to use more of the map. I would keep it where steps are few: for example to start a student in the first hundred
# steps, with a weight that falls to zero.
# ### END SOLUTION

# %% [markdown]
# ## At full size
#
# Attention maps of GPT-2 XL: 48 layers of 25 heads. Where its weights or a GPU are missing, the cell says so in one
# line.

# %%
try:
    full = zoo.load("gpt2", profile="full", attention="eager")
    tokenizer = zoo.tokenizer("gpt2", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    tokens = data.tensors(data.prose()["validation"], tokenizer=tokenizer, limit=1)["input_ids"]
    with torch.no_grad():
        maps = full(input_ids=tokens.to(full.device), output_attentions=True).attentions
    first = [round(layer[0, :, 1:, 0].float().mean().item(), 2) for layer in maps[::6]]
    print(f"{len(maps)} layers, maps {tuple(maps[0].shape)}; mean attention to the first token {first}")

# %% [markdown]
# ## Further reading
#
# - [Chapter 3.3](../../theory/3.3-Knowledge_Distillation_and_Architecture_Optimization.md), section 7: what each
#   comparison does not see, and why gains come early.
# - Zagoruyko and Komodakis 2016 (arXiv 1612.03928): where the idea comes from, on pictures.
# - Jiao et al. 2019 (arXiv 1909.10351): attention, states and embeddings in one loss, and what is lost without each.
# - Jain and Wallace 2019 (arXiv 1902.10186): attention is not explanation; read it before you trust a map.
