"""A supernet: one Transformer encoder for pictures whose weights hold millions of smaller ones.

A subnet keeps the first layers, in each of them the first heads and the first inner channels (Yu et al. 2020,
BigNAS, arXiv 2003.11142; Cai et al. 2020, Once-for-All, arXiv 1908.09791). Here a subnet is run on the full
matrices: what it does not have is multiplied by zero. That costs the time of the large network and is meant
for training and for measuring quality, not for speed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ElasticLayer(nn.Module):
    """Attention with any number of heads and a GELU network, each behind a LayerNorm, added to its input."""

    def __init__(self, width: int, heads: int, head_size: int, inner: int) -> None:
        """Make the matrices; q_proj, k_proj and v_proj have heads * head_size rows, one head after another."""
        super().__init__()
        self.heads, self.head_size = heads, head_size
        self.norm1 = nn.LayerNorm(width)
        self.q_proj = nn.Linear(width, heads * head_size)
        self.k_proj = nn.Linear(width, heads * head_size)
        self.v_proj = nn.Linear(width, heads * head_size)
        self.o_proj = nn.Linear(heads * head_size, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor, heads: int | None = None, inner: int | None = None) -> Tensor:
        """Map (batch, tokens, width) to the same shape; heads and channels from ``heads`` and ``inner`` on are zero."""
        batch, tokens, _ = x.shape
        y = self.norm1(x)
        q, k, v = (
            proj(y).view(batch, tokens, self.heads, self.head_size).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)  # (batch, heads, tokens, head size)
        if heads is not None and heads < self.heads:
            mixed = mixed * (torch.arange(self.heads) < heads).view(-1, 1, 1)
        x = x + self.o_proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))
        hidden = nn.functional.gelu(self.fc1(self.norm2(x)))
        if inner is not None and inner < hidden.shape[-1]:
            hidden = hidden * (torch.arange(hidden.shape[-1]) < inner)
        out: Tensor = x + self.fc2(hidden)
        return out


class Supernet(nn.Module):
    """Classify pictures: patches, learned positions, elastic layers, mean over tokens, one linear head."""

    def __init__(
        self,
        *,
        image_size: int = 28,
        patch_size: int = 7,
        hidden_size: int = 64,
        head_size: int = 16,
        heads: Sequence[int] = (4, 4, 4, 4, 4, 4),
        ffn: Sequence[int] = (256, 256, 256, 256, 256, 256),
        num_labels: int = 10,
        initializer_range: float = 0.1,
    ) -> None:
        """Build an untrained network for one-channel square pictures.

        Args:
            image_size, patch_size: of a picture and of the squares it is cut into.
            hidden_size: width of the residual stream, the same in every subnet.
            head_size: width of one head.
            heads: number of heads of each layer; as many layers as entries.
            ffn: inner channels of each layer.
            num_labels: classes.
            initializer_range: standard deviation of the initial matrices.

        Raises:
            ValueError: the picture does not divide into patches, or ``heads`` and ``ffn`` differ in length.
        """
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"picture size {image_size} is not a multiple of patch size {patch_size}")
        if len(heads) != len(ffn):
            raise ValueError(f"heads for {len(heads)} layers and ffn for {len(ffn)}")
        self.patch_size = patch_size
        self._sizes = (list(heads), list(ffn))
        self.embed = nn.Linear(patch_size**2, hidden_size)
        self.positions = nn.Parameter(0.02 * torch.randn((image_size // patch_size) ** 2, hidden_size))
        self.layers = nn.ModuleList(
            ElasticLayer(hidden_size, count, head_size, inner)
            for count, inner in zip(heads, ffn, strict=True)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.classifier = nn.Linear(hidden_size, num_labels)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=initializer_range)
                nn.init.zeros_(module.bias)

    def forward(
        self, pixel_values: Tensor, heads: Sequence[int] | None = None, ffn: Sequence[int] | None = None
    ) -> Tensor:
        """Return logits (batch, labels) for pixel_values (batch, 1, size, size).

        Args:
            pixel_values: the pictures.
            heads: for each layer of a subnet how many of the first heads it has; as many of the first
                layers are run as there are entries. Everything if left out.
            ffn: for each layer of the subnet how many of the first inner channels it has.

        Raises:
            ValueError: only one of the two is given, they differ in length, or an entry is below 1 or above
                what the network has.
        """
        if heads is None and ffn is None:
            heads, ffn = self.sizes()
        if heads is None or ffn is None or len(heads) != len(ffn) or not 1 <= len(heads) <= len(self.layers):
            raise ValueError("a subnet needs heads and ffn for the same 1 or more first layers")
        for mine, given in zip(self.sizes(), (heads, ffn), strict=True):
            if any(not 1 <= wanted <= there for there, wanted in zip(mine, given, strict=False)):
                raise ValueError(f"a subnet with {list(given)} does not fit into {mine}")
        patches = nn.functional.unfold(pixel_values, self.patch_size, stride=self.patch_size)
        x = self.embed(patches.transpose(1, 2)) + self.positions  # (batch, tokens, width)
        for layer, count, inner in zip(self.layers, heads, ffn, strict=False):
            x = layer(x, count, inner)
        logits: Tensor = self.classifier(self.norm(x).mean(1))
        return logits

    def sizes(self) -> tuple[list[int], list[int]]:
        """Return the number of heads and of inner channels of each layer."""
        return list(self._sizes[0]), list(self._sizes[1])
