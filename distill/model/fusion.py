"""Fusion of text and image features into one vector: concatenation, or a cross-modal transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = 8
LAYERS = 2
FEED_FORWARD = 2  # width of the feed-forward layers, in widths of the model


class Concat(nn.Module):
    """Pooled vectors, each layer-normed, concatenated; a learned vector replaces a missing text or image. There is
    no vector of texts where `text`, its width, is 0."""

    def __init__(self, text: int, image: int) -> None:
        super().__init__()
        self.text_norm = nn.LayerNorm(text) if text else nn.Identity()
        self.image_norm = nn.LayerNorm(image)
        self.text_absent = nn.Parameter(torch.zeros(text))
        self.image_absent = nn.Parameter(torch.zeros(image))
        self.width = text + image

    def forward(self, text: Tensor, image: Tensor, present: Tensor) -> Tensor:
        """Float (B, width) from text (B, text), image (B, image) and present (B, 2): 1 where there is a text,
        1 where there is an image."""
        has_text, has_image = present[:, :1], present[:, 1:]
        from_image = self.image_norm(image) * has_image + self.image_absent * (1 - has_image)
        if not len(self.text_absent):
            return from_image
        from_text = self.text_norm(text) * has_text + self.text_absent * (1 - has_text)
        return torch.cat([from_text, from_image], dim=1)


class CrossModal(nn.Module):
    """Cross-attention: text tokens attend to the image's cells and the cells to the tokens, in one decoder each.

    After Messina et al. 2021, "AIMH at SemEval-2021 Task 6: Multimodal Classification Using an Ensemble of
    Transformer Models", where grid features of a convolutional network are visual tokens. Each sequence begins with
    a learned token, whose last state is its pooled vector; of a missing modality, only that token remains.
    """

    def __init__(self, text: int, image: int, cells: int, width: int, dropout: float) -> None:
        """`text` and `image` are the widths of a token and of a cell, `width` that of each decoder."""
        super().__init__()
        self.text_in = nn.Sequential(nn.LayerNorm(text), nn.Linear(text, width))
        self.image_in = nn.Sequential(nn.LayerNorm(image), nn.Linear(image, width))
        self.places = nn.Parameter(torch.zeros(cells, width))  # position embeddings of the cells
        self.text_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.image_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.text_side = _decoder(width, dropout)
        self.image_side = _decoder(width, dropout)
        self.width = 2 * width

    def forward(self, text: Tensor, mask: Tensor, image: Tensor, present: Tensor) -> Tensor:
        """Float (B, 2 width) from text (B, T, text), mask int64 (B, T), image (B, cells, image) and present (B, 2)
        as in `Concat`."""
        rows = present.shape[0]  # len() would be a constant to the exporter
        tokens = torch.cat([self.text_token.expand(rows, -1, -1), self.text_in(text)], 1)
        cells = torch.cat([self.image_token.expand(rows, -1, -1), self.image_in(image) + self.places], 1)
        token_mask = _padding_mask(mask * present[:, :1])
        cell_mask = _padding_mask(present[:, 1:].expand(-1, image.shape[1]))
        text = self.text_side(tokens, cells, tgt_key_padding_mask=token_mask, memory_key_padding_mask=cell_mask)
        image = self.image_side(cells, tokens, tgt_key_padding_mask=cell_mask, memory_key_padding_mask=token_mask)
        return torch.cat([text[:, 0], image[:, 0]], 1)


def _decoder(width: int, dropout: float) -> nn.TransformerDecoder:
    feed_forward = FEED_FORWARD * width
    layer = nn.TransformerDecoderLayer(width, HEADS, feed_forward, dropout, batch_first=True, norm_first=True)
    return nn.TransformerDecoder(layer, LAYERS, nn.LayerNorm(width))


def _padding_mask(kept: Tensor) -> Tensor:
    """bool (B, 1 + N), True where there is nothing to attend to; False for the learned token, which comes first."""
    return nn.functional.pad(kept < 0.5, (1, 0), value=False)
