"""Rotate the residual stream by a Hadamard matrix, so that no channel stands out."""

import copy

import torch
from torch import Tensor, nn


def hadamard_matrix(n: int) -> Tensor:
    """Return Sylvester's Hadamard matrix divided by sqrt(n): (n, n) float32, orthogonal and symmetric.

    H_1 = [1]; H_2k = [[H_k, H_k], [H_k, -H_k]]. A size that is not a power of two raises `ValueError`.

    Paper: Ashkboos et al. 2024 (arXiv 2404.00456), section 2.
    """
    ### BEGIN SOLUTION
    if n < 1 or n & (n - 1):
        raise ValueError(f"{n} is not a power of two")
    h = torch.ones(1, 1)
    while len(h) < n:
        h = torch.cat([torch.cat([h, h], dim=1), torch.cat([h, -h], dim=1)])
    return h / n**0.5
    ### END SOLUTION


def rotate_residual(model: nn.Module, rotation: Tensor) -> nn.Module:
    """Return a copy of a Llama whose residual stream is turned by `rotation` and whose function is the same.

    Args:
        model: a `LlamaForCausalLM`: `model.embed_tokens`, `model.layers`, `model.norm`, `lm_head`. Each
            layer has `input_layernorm` before `self_attn.{q,k,v}_proj`, `post_attention_layernorm` before
            `mlp.{gate,up}_proj`; `self_attn.o_proj` and `mlp.down_proj` write into the residual stream.
            It is not changed.
        rotation: (width, width), orthogonal: R.

    Returns:
        A deep copy, in which

        1. every RMSNorm's weight is folded into the weights that read it (`lm_head` reads the last one) and
           is then 1: x / rms(x) and a rotation may change places, a weight a channel in between may not;
        2. `lm_head` has a weight of its own even if the model ties it to the embedding;
        3. the residual stream holds x R in place of x: the embedding's rows and what `o_proj` and
           `down_proj` write are multiplied by R, and every weight that reads the stream undoes it.

    Paper: Ashkboos et al. 2024 (arXiv 2404.00456), section 3, step 1a and figure 2; Ashkboos et al. 2024, SliceGPT
    (arXiv 2401.15024), theorem 1.
    """
    ### BEGIN SOLUTION
    rotated = copy.deepcopy(model)
    body = rotated.model
    with torch.no_grad():
        rotated.lm_head.weight = nn.Parameter(rotated.lm_head.weight.clone())
        readers = [(body.norm, [rotated.lm_head])]
        writers = []
        for layer in body.layers:
            attention, mlp = layer.self_attn, layer.mlp
            readers.append((layer.input_layernorm, [attention.q_proj, attention.k_proj, attention.v_proj]))
            readers.append((layer.post_attention_layernorm, [mlp.gate_proj, mlp.up_proj]))
            writers += [attention.o_proj, mlp.down_proj]
        for norm, layers in readers:
            for layer in layers:
                layer.weight.copy_((layer.weight * norm.weight) @ rotation)
            norm.weight.fill_(1.0)
        body.embed_tokens.weight.copy_(body.embed_tokens.weight @ rotation)
        for layer in writers:
            layer.weight.copy_(rotation.T @ layer.weight)
    return rotated
    ### END SOLUTION
