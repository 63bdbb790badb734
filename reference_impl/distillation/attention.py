"""Matching where a layer looks: attention maps (TinyBERT: Jiao et al. 2019, arXiv 1909.10351) and energy maps
(attention transfer: Zagoruyko and Komodakis 2016, arXiv 1612.03928)."""

from torch import Tensor


def allowed_pairs(mask: Tensor) -> Tensor:
    """Which position may look at which, in a causal language model whose rows are padded.

    Args:
        mask: (batch, tokens), 1 for a real token and 0 for padding, on either side.

    Returns:
        A bool tensor (batch, tokens, tokens). Entry (b, q, k) is True where query q and key k are both real tokens
        of row b and k is not after q. A padded query may look at nothing.
    """
    ### BEGIN SOLUTION
    real = mask.bool()
    return (real[:, :, None] & real[:, None, :]).tril()
    ### END SOLUTION


def attention_map(queries: Tensor, keys: Tensor, allowed: Tensor) -> Tensor:
    """Attention probabilities of each head, written out (Vaswani et al. 2017, equation 1, without the values).

    Args:
        queries: (batch, heads, tokens, d), d channels a head.
        keys: of the same shape.
        allowed: bool (batch, tokens, tokens), as of `allowed_pairs`.

    Returns:
        (batch, heads, tokens, tokens), the query on the third axis, the key on the last: the softmax over the allowed
        keys of the inner products divided by sqrt(d). Exactly 0 at pairs that are not allowed. A query that may look
        at nothing has a row of zeros, never nan, and gradients are finite there too.
    """
    ### BEGIN SOLUTION
    scores = queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5
    pairs = allowed[:, None]
    # a finite fill: a row without any allowed key would be nan with -inf
    return scores.masked_fill(~pairs, -1e9).softmax(-1) * pairs
    ### END SOLUTION


def attention_kl(student: Tensor, teacher: Tensor, allowed: Tensor) -> Tensor:
    """Divergence between the mean attention of two layers, KL(teacher || student), in nats a query.

    Each model's maps are averaged over its own heads first, so the numbers of heads may differ. At every allowed
    pair the term is t * (log t - log s), with t and s the mean attention of teacher and student; inside the logarithms
    (only there) both are raised to at least 1e-6. The terms are summed over all allowed pairs and divided by the
    number of queries that may look at one key or more.

    Args:
        student: probabilities (batch, heads, tokens, tokens), key on the last axis.
        teacher: probabilities (batch, its own heads, tokens, tokens).
        allowed: bool (batch, tokens, tokens), as of `allowed_pairs`; at least one True.

    Returns:
        A tensor without axes. Its gradient reaches `student` and never `teacher`.
    """
    ### BEGIN SOLUTION
    own, goal = student.mean(1), teacher.detach().mean(1)
    terms = goal * (goal.clamp_min(1e-6).log() - own.clamp_min(1e-6).log())
    return terms[allowed].sum() / allowed.any(-1).sum()
    ### END SOLUTION


def attention_transfer(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Distance between the energy maps of two layers: where their activations are large, whatever the channel.

    The energy of a position is the sum over channels of the squared state; at padding it is set to 0. Each row's
    energies, a vector with an entry a token, are divided by their 2-norm. The loss is the squared 2-norm of the
    difference between the two vectors of a row, and the mean over the rows. (Zagoruyko and Komodakis, equation 2 with
    p = 2, tokens in place of pixels, and the norm squared.)

    Args:
        student: hidden states (batch, tokens, student width).
        teacher: hidden states (batch, tokens, teacher width).
        mask: (batch, tokens), 1 for a real token and 0 for padding; each row has a real token.

    Returns:
        A tensor without axes, from 0 to 2. A factor on either model's states does not change it. Its gradient reaches
        `student` and never `teacher`.
    """
    ### BEGIN SOLUTION

    def energies(states: Tensor) -> Tensor:
        energy = states.square().sum(-1) * mask
        return energy / energy.norm(dim=1, keepdim=True)

    return (energies(student) - energies(teacher.detach())).square().sum(1).mean()
    ### END SOLUTION
