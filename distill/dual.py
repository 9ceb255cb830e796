"""The dual-branch network that teacher and student share. Knows tensors and parameter groups, not training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill.encoders import PictureEncoder, TextEncoder
from distill.recipe import Head


class DualBranch(nn.Module):
    """Pooled text and picture features, each layer-normed, concatenated, through dense layers to logits."""

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
        self.dense = nn.Linear(text.width + picture.width, head.hidden)
        self.output = nn.Linear(head.hidden, labels)
        self.dropout = nn.Dropout(head.dropout)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixels: Tensor | None = None,
        picture_features: Tensor | None = None,
    ) -> Tensor:
        """Logits float (B, L) from ids and mask int64 (B, T) and either pixels float (B, 3, H, W) or the
        picture branch's own output float (B, width), which saves running a frozen branch again."""
        if picture_features is None:
            picture_features = self.picture(pixels)
        text = self.text_norm(self.text(input_ids, attention_mask))
        picture = self.picture_norm(picture_features)
        joint = self.dropout(torch.cat([text, picture], dim=1))
        logits: Tensor = self.output(self.dropout(torch.relu(self.dense(joint))))
        return logits

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
