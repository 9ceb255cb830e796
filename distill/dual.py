"""The dual-branch network that teacher and student share. Knows tensors and parameter groups, not training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from distill.encoders import PictureEncoder, TextEncoder
from distill.recipe import Head


class Outputs(NamedTuple):
    """Logits float (B, L), and what the encoders gave before any norm: text float (B, Wt), picture (B, Wp)."""

    logits: Tensor
    text: Tensor
    picture: Tensor


class DualBranch(nn.Module):
    """Pooled text and picture features, each layer-normed, concatenated, through dense layers to logits.

    An example may lack its text or its picture: a learned vector then stands in the features' place. While
    training, each is taken away from a share `head.modality_dropout` of the examples that have both, so that
    these vectors are learned and either branch can answer alone.
    """

    def __init__(
        self, text: TextEncoder, picture: PictureEncoder, head: Head, labels: int, picture_trainable: bool
    ) -> None:
        super().__init__()
        self.text = text
        self.picture = picture
        self.picture_trainable = picture_trainable
        self.picture.requires_grad_(picture_trainable)
        self.text_norm = nn.LayerNorm(text.width)
        self.picture_norm = nn.LayerNorm(picture.width)
        self.text_absent = nn.Parameter(torch.zeros(text.width))
        self.picture_absent = nn.Parameter(torch.zeros(picture.width))
        self.dense = nn.Linear(text.width + picture.width, head.hidden)
        self.output = nn.Linear(head.hidden, labels)
        self.dropout = nn.Dropout(head.dropout)
        self.modality_dropout = head.modality_dropout

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, present: Tensor) -> Tensor:
        """Logits float (B, L) from ids and mask int64 (B, T), pixels float (B, 3, H, W) and present float
        (B, 2): 1 where the example has a text, 1 where it has a picture, else 0."""
        return self.outputs(input_ids, attention_mask, present, pixels=pixels).logits

    def outputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        present: Tensor,
        pixels: Tensor | None = None,
        picture_features: Tensor | None = None,
    ) -> Outputs:
        """As `forward`, with the encoders' own outputs; picture_features float (B, width), where a frozen
        branch has run before, save running it again."""
        text = self.text(input_ids, attention_mask)
        picture = self.picture(pixels) if picture_features is None else picture_features
        if self.training and self.modality_dropout > 0:
            present = self._with_some_taken_away(present)
        has_text, has_picture = present[:, :1], present[:, 1:]
        joint = torch.cat(
            [
                self.text_norm(text) * has_text + self.text_absent * (1 - has_text),
                self.picture_norm(picture) * has_picture + self.picture_absent * (1 - has_picture),
            ],
            dim=1,
        )
        logits: Tensor = self.output(self.dropout(torch.relu(self.dense(self.dropout(joint)))))
        return Outputs(logits, text, picture)

    def _with_some_taken_away(self, present: Tensor) -> Tensor:
        """Never both of one example, and nothing of an example that lacks one already."""
        share = self.modality_dropout
        drawn = torch.rand(len(present), device=present.device)
        kept = torch.stack([drawn >= share, (drawn < share) | (drawn >= 2 * share)], dim=1).to(present.dtype)
        return torch.where(present.sum(1, keepdim=True) == 2, kept, present)

    def train(self, mode: bool = True) -> DualBranch:
        """As in torch, but a frozen picture branch stays in eval mode: its batch norms must not move."""
        super().train(mode)
        if not self.picture_trainable:
            self.picture.eval()
        return self

    def start_from_rates(self, rates: Tensor) -> None:
        """Set the output bias to logit(rate) of each label, float (L,), Lin et al. 2018 section 3.3:
        training then starts from the label frequencies and not from one half for every rare label."""
        clipped = rates.clamp(1e-3, 1 - 1e-3)
        with torch.no_grad():
            self.output.bias.copy_(torch.log(clipped / (1 - clipped)))

    def encoder_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The trainable parameters that come pretrained."""
        return [item for item in self.named_parameters() if self._is_encoder(item[0]) and item[1].requires_grad]

    def head_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The parameters that start from nothing."""
        return [item for item in self.named_parameters() if not self._is_encoder(item[0])]

    @staticmethod
    def _is_encoder(name: str) -> bool:
        return name.startswith(("text.", "picture."))
