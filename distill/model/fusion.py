"""Two modalities to one vector: side by side, or looking at each other first. Knows features, not encoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = 8
LAYERS = 2
WIDER = 2  # of the feed-forward layers


class Concat(nn.Module):
    """Pooled vectors, each layer-normed, side by side; a learned vector for what an example lacks."""

    def __init__(self, text: int, image: int) -> None:
        super().__init__()
        self.text_norm = nn.LayerNorm(text)
        self.image_norm = nn.LayerNorm(image)
        self.text_absent = nn.Parameter(torch.zeros(text))
        self.image_absent = nn.Parameter(torch.zeros(image))
        self.width = text + image

    def forward(self, text: Tensor, image: Tensor, present: Tensor) -> Tensor:
        """Float (B, width) from text (B, text), image (B, image) and present (B, 2)."""
        has_text, has_image = present[:, :1], present[:, 1:]
        return torch.cat(
            [
                self.text_norm(text) * has_text + self.text_absent * (1 - has_text),
                self.image_norm(image) * has_image + self.image_absent * (1 - has_image),
            ],
            dim=1,
        )


class CrossModal(nn.Module):
    """Text tokens attend to the image's cells, and the cells to the tokens, each in a transformer of its own.

    After Messina et al. 2021, "AIMH at SemEval-2021 Task 6: Multimodal Classification Using an Ensemble of
    Transformer Models", where grid features of a convolutional network are visual tokens. Each side begins with a
    learned token, whose last state is the side's pooled vector; it alone remains of a side that an example lacks.
    """

    def __init__(self, text: int, image: int, cells: int, width: int, dropout: float) -> None:
        """Widths of a token's and of a cell's state, how many cells there are, and the width of what comes out."""
        super().__init__()
        self.text_in = nn.Sequential(nn.LayerNorm(text), nn.Linear(text, width))
        self.image_in = nn.Sequential(nn.LayerNorm(image), nn.Linear(image, width))
        self.places = nn.Parameter(torch.zeros(cells, width))  # where in the image a cell is
        self.text_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.image_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.text_side = _side(width, dropout)
        self.image_side = _side(width, dropout)
        self.width = 2 * width

    def forward(self, text: Tensor, mask: Tensor, image: Tensor, present: Tensor) -> Tensor:
        """Float (B, 2 width) from text (B, T, text), mask int64 (B, T), image (B, cells, image) and present
        (B, 2): 1 where the example has a text, 1 where it has an image."""
        rows = len(present)
        tokens = torch.cat([self.text_token.expand(rows, -1, -1), self.text_in(text)], 1)
        cells = torch.cat([self.image_token.expand(rows, -1, -1), self.image_in(image) + self.places], 1)
        no_tokens = _hidden(mask * present[:, :1])
        no_cells = _hidden(present[:, 1:].expand(-1, image.shape[1]))
        seen = self.text_side(tokens, cells, tgt_key_padding_mask=no_tokens, memory_key_padding_mask=no_cells)
        read = self.image_side(cells, tokens, tgt_key_padding_mask=no_cells, memory_key_padding_mask=no_tokens)
        return torch.cat([seen[:, 0], read[:, 0]], 1)


def _side(width: int, dropout: float) -> nn.TransformerDecoder:
    layer = nn.TransformerDecoderLayer(width, HEADS, WIDER * width, dropout, batch_first=True, norm_first=True)
    return nn.TransformerDecoder(layer, LAYERS, nn.LayerNorm(width))


def _hidden(kept: Tensor) -> Tensor:
    """bool (B, 1 + N), True where attention may not look; never at the learned token, which comes first."""
    return nn.functional.pad(kept < 0.5, (1, 0), value=False)
