"""Two modalities to one vector: side by side, or looking at each other first. Knows features, not encoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = 8
LAYERS = 2
WIDER = 2  # of the feed-forward layers


class Concat(nn.Module):
    """Pooled vectors, each layer-normed, side by side; a learned vector for what an example lacks."""

    def __init__(self, text: int, picture: int) -> None:
        super().__init__()
        self.text_norm = nn.LayerNorm(text)
        self.picture_norm = nn.LayerNorm(picture)
        self.text_absent = nn.Parameter(torch.zeros(text))
        self.picture_absent = nn.Parameter(torch.zeros(picture))
        self.width = text + picture

    def forward(self, text: Tensor, picture: Tensor, present: Tensor) -> Tensor:
        """Float (B, width) from text (B, text), picture (B, picture) and present (B, 2)."""
        has_text, has_picture = present[:, :1], present[:, 1:]
        return torch.cat(
            [
                self.text_norm(text) * has_text + self.text_absent * (1 - has_text),
                self.picture_norm(picture) * has_picture + self.picture_absent * (1 - has_picture),
            ],
            dim=1,
        )


class CrossModal(nn.Module):
    """Text tokens attend to the picture's cells, and the cells to the tokens, each in a transformer of its own.

    After Messina et al. 2021, "AIMH at SemEval-2021 Task 6: Multimodal Classification Using an Ensemble of
    Transformer Models", where grid features of a convolutional network are visual tokens. Each side begins with a
    learned token, whose last state is the side's pooled vector; it alone remains of a side that an example lacks.
    """

    def __init__(self, text: int, picture: int, cells: int, width: int, dropout: float) -> None:
        """Widths of a token's and of a cell's state, how many cells there are, and the width of what comes out."""
        super().__init__()
        self.text_in = nn.Sequential(nn.LayerNorm(text), nn.Linear(text, width))
        self.picture_in = nn.Sequential(nn.LayerNorm(picture), nn.Linear(picture, width))
        self.places = nn.Parameter(torch.zeros(cells, width))  # where in the picture a cell is
        self.text_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.picture_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.text_side = _side(width, dropout)
        self.picture_side = _side(width, dropout)
        self.width = 2 * width

    def forward(self, text: Tensor, mask: Tensor, picture: Tensor, present: Tensor) -> Tensor:
        """Float (B, 2 width) from text (B, T, text), mask int64 (B, T), picture (B, cells, picture) and present
        (B, 2): 1 where the example has a text, 1 where it has a picture."""
        rows = len(present)
        tokens = torch.cat([self.text_token.expand(rows, -1, -1), self.text_in(text)], 1)
        cells = torch.cat([self.picture_token.expand(rows, -1, -1), self.picture_in(picture) + self.places], 1)
        no_tokens = _hidden(mask * present[:, :1])
        no_cells = _hidden(present[:, 1:].expand(-1, picture.shape[1]))
        seen = self.text_side(tokens, cells, tgt_key_padding_mask=no_tokens, memory_key_padding_mask=no_cells)
        read = self.picture_side(cells, tokens, tgt_key_padding_mask=no_cells, memory_key_padding_mask=no_tokens)
        return torch.cat([seen[:, 0], read[:, 0]], 1)


def _side(width: int, dropout: float) -> nn.TransformerDecoder:
    layer = nn.TransformerDecoderLayer(width, HEADS, WIDER * width, dropout, batch_first=True, norm_first=True)
    return nn.TransformerDecoder(layer, LAYERS, nn.LayerNorm(width))


def _hidden(kept: Tensor) -> Tensor:
    """bool (B, 1 + N), True where attention may not look; never at the learned token, which comes first."""
    return nn.functional.pad(kept < 0.5, (1, 0), value=False)
