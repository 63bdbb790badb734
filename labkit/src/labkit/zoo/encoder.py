"""A plain Transformer encoder for pictures, small enough to read in one sitting.

Pre-LN (Xiong et al. 2020, arXiv 2002.04745): each branch normalises its input, so every LayerNorm is followed
by linear layers only and its scale and shift can be folded into them. Every matrix is an ``nn.Linear``, and
attention is written out, so that quantizers can wrap each product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Multi-head self-attention without a mask: (batch, tokens, width) to the same shape."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        """Split ``width`` over ``heads``; ``dropout`` acts on the attention weights."""
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.o_proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Attend from every token to every token."""
        batch, tokens, _ = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, tokens, self.heads, -1).transpose(1, 2)  # (batch, heads, tokens, head width)

        q, k, v = split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x))
        weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
        mixed = self.dropout(weights) @ v
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))
        return out


class EncoderLayer(nn.Module):
    """Attention and a two-layer GELU network, each behind a LayerNorm and added to its input."""

    def __init__(self, width: int, inner: int, heads: int, dropout: float) -> None:
        """Make both branches; ``inner`` is the width between fc1 and fc2."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        inner = nn.functional.gelu(self.fc1(self.norm2(x)))
        out: Tensor = x + self.dropout(self.fc2(inner))
        return out


class Encoder(nn.Module):
    """Classify pictures: patches, learned positions, encoder layers, mean over tokens, one linear head."""

    def __init__(
        self,
        *,
        image_size: int = 28,
        patch_size: int = 7,
        hidden_size: int = 64,
        intermediate_size: int = 256,
        num_layers: int = 3,
        num_heads: int = 4,
        num_labels: int = 10,
        dropout: float = 0.1,
    ) -> None:
        """Build an untrained encoder for one-channel square pictures."""
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"picture size {image_size} is not a multiple of patch size {patch_size}")
        self.patch_size = patch_size
        self.embed = nn.Linear(patch_size**2, hidden_size)
        self.positions = nn.Parameter(0.02 * torch.randn((image_size // patch_size) ** 2, hidden_size))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(hidden_size, intermediate_size, num_heads, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.classifier = nn.Linear(hidden_size, num_labels)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return logits (batch, labels) for pixel_values (batch, 1, size, size)."""
        patches = nn.functional.unfold(pixel_values, self.patch_size, stride=self.patch_size)
        x = self.dropout(self.embed(patches.transpose(1, 2)) + self.positions)  # (batch, tokens, width)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.classifier(self.norm(x).mean(1))
        return logits
