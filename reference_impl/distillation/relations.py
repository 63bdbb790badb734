"""Comparing relations in place of states: RKD (Park et al. 2019, arXiv 1904.05068), MiniLM (Wang et al. 2020, arXiv
2002.10957 and 2012.15828) and centred kernel alignment (Kornblith et al. 2019, arXiv 1905.00414)."""

import torch
from torch import Tensor, nn


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Difference between the pairwise distances of one batch in two spaces (RKD, section 3.2.1).

    In each space the distance of a pair is the 2-norm of the difference of its points, and is divided by the mean
    distance over all pairs of that space. The loss is the mean over all pairs of two different rows of the Huber loss
    with delta 1 (`nn.functional.smooth_l1_loss`) between the student's and the teacher's divided distances.

    A squared distance below 1e-12 is raised to 1e-12 before the root, so that two equal points give no infinite
    gradient. The squares are sums of squared differences, not differences of inner products: those lose all digits
    where points are near.

    Args:
        student: (n, d), a point a row; n at least 2.
        teacher: (n, its own width), the same examples in the same order.

    Returns:
        A tensor without axes: 0 when the two clouds differ by rotation, shift and positive scale. Its gradient reaches
        `student` and never `teacher`.
    """
    ### BEGIN SOLUTION

    def divided(points: Tensor) -> Tensor:
        first, second = torch.triu_indices(len(points), len(points), offset=1)
        distances = (points[first] - points[second]).square().sum(-1).clamp_min(1e-12).sqrt()
        return distances / distances.mean()

    return nn.functional.smooth_l1_loss(divided(student), divided(teacher.detach()))
    ### END SOLUTION


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Difference between the angles that triples of one batch form in two spaces (RKD, section 3.2.2).

    For rows i, j, k the angle at j is between the unit vectors e_ij and e_kj, where e_ij = (x_i - x_j) / |x_i - x_j|,
    and its cosine is their inner product. The loss is the mean over all ordered triples of three different rows of the
    Huber loss with delta 1 between the student's and the teacher's cosines.

    As in `rkd_distance`, a squared length below 1e-12 is raised to 1e-12 before the root: two equal points have the
    unit vector 0.

    Args:
        student: (n, d), a point a row; n at least 3.
        teacher: (n, its own width), the same examples in the same order.

    Returns:
        A tensor without axes: 0 when the two clouds differ by rotation, shift and positive scale. Its gradient reaches
        `student` and never `teacher`.
    """
    ### BEGIN SOLUTION

    def cosines(points: Tensor) -> Tensor:
        arrows = points[None] - points[:, None]  # (j, i, d): from j to i
        units = arrows / arrows.square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
        return units @ units.transpose(1, 2)  # (j, i, k)

    same = torch.eye(len(student), dtype=torch.bool)
    different = ~(same[:, :, None] | same[:, None, :] | same[None])
    return nn.functional.smooth_l1_loss(cosines(student)[different], cosines(teacher.detach())[different])
    ### END SOLUTION


def minilm_relation(student: Tensor, teacher: Tensor, mask: Tensor, *, heads: int = 1) -> Tensor:
    """Difference between the relations of tokens inside each text (MiniLMv2, for one kind of vector).

    Each model's channels are cut into `heads` consecutive groups of equal size. In a group of r channels the relation
    of query token q to key token k is the softmax over the real tokens k of x_q . x_k / sqrt(r). The loss is
    KL(teacher || student) of these rows, in nats, and the mean over the groups and over the real query tokens of the
    whole batch. Relations are not causal: a token is compared with all real tokens of its text, later ones too.

    Args:
        student: queries, keys, values or states (batch, tokens, d); d a multiple of `heads`.
        teacher: the same kind of vectors (batch, tokens, its own width); also a multiple of `heads`.
        mask: (batch, tokens), 1 for a real token and 0 for padding.
        heads: relation heads, the same for both; not the number of attention heads.

    Returns:
        A tensor without axes. With one head a rotation of either model's channels does not change it, a factor does.
        Its gradient reaches `student` and never `teacher`, and is finite where a row is padded.
    """
    ### BEGIN SOLUTION
    real = mask.bool()
    hidden_keys = ~real[:, None, None, :]

    def log_relations(vectors: Tensor) -> Tensor:
        groups = vectors.unflatten(-1, (heads, -1)).transpose(1, 2)  # (batch, heads, tokens, r)
        scores = groups @ groups.transpose(-2, -1) / groups.shape[-1] ** 0.5
        return scores.masked_fill(hidden_keys, -1e9).log_softmax(-1)

    own, goal = log_relations(student), log_relations(teacher.detach())
    rows = (goal.exp() * (goal - own)).masked_fill(hidden_keys, 0.0).sum(-1)  # (batch, heads, query)
    return rows.transpose(1, 2)[real].mean()
    ### END SOLUTION


def linear_cka(x: Tensor, y: Tensor, *, unbiased: bool = False) -> float:
    """How alike two descriptions of the same examples are, up to rotation, shift and scale.

    The plain form: with the mean of each column taken off, |Y'X|^2 / (|X'X| |Y'Y|), Frobenius norms (Kornblith et al.
    2019). It is near 1 for unrelated data when there are not many more examples than columns.

    The unbiased form: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with K = XX', L = YY', their diagonals set to 0, and
    HSIC(K, L) = [tr(KL) + (1'K1)(1'L1) / ((n - 1)(n - 2)) - 2 / (n - 2) 1'KL1] / (n (n - 3)) (Song et al. 2012, as in
    Nguyen et al. 2020, arXiv 2010.15327). Its mean over unrelated data is near 0, and it may be negative.

    Args:
        x: (n, d), an example a row.
        y: (n, d'), the same examples.
        unbiased: which form; it needs n of at least 4.

    Returns:
        A Python float, computed in float64. At most 1 in the plain form.
    """
    ### BEGIN SOLUTION
    x, y = x.detach().double(), y.detach().double()
    x, y = x - x.mean(0), y - y.mean(0)
    if not unbiased:
        return ((y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())).item()
    n = len(x)
    first, second = (gram - gram.diag().diag() for gram in (x @ x.T, y @ y.T))

    def hsic(k: Tensor, m: Tensor) -> Tensor:
        rest = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k.sum(0) @ m.sum(1))
        return ((k * m).sum() + rest) / (n * (n - 3))

    return (hsic(first, second) / (hsic(first, first) * hsic(second, second)).sqrt()).item()
    ### END SOLUTION
