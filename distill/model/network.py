"""The two-tower network of teacher and student: text and image encoders, fusion, and a head that gives logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill.core.settings.model_config import OTHER, ModelConfig
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.model.compute import Arithmetic
from distill.model.encoders.image import ImageEncoder
from distill.model.encoders.text import NoText, TextEncoder
from distill.model.fusion import Concat, CrossModal
from distill.model.image_rows import train_on_images
from distill.model.ngrams import NgramLogits
from distill.model.outputs import Outputs


class TwoTowerNetwork(nn.Module):
    """Text and image features, fused as `head.fusion` says, through dense layers to logits, to which a linear layer
    on the text's n-grams may be added.

    A learned vector replaces a missing text or image. In training, modality dropout removes the text of a share
    `head.modality_dropout` of the examples that have both, and the image of another such share, so that these
    vectors are learned and either tower can answer alone. With `head.modalities` "text" or "image" the other
    modality is always missing, and its encoder does not run.
    """

    def __init__(
        self, text: TextEncoder | NoText, image: ImageEncoder, config: ModelConfig, labels: int, tokens: int
    ) -> None:
        """For so many `labels`, and so many `tokens` of the vocabulary."""
        super().__init__()
        head = config.head
        self.text = text
        self.image = image
        self.text_trainable, self.image_trainable = config.text.trainable, config.image.trainable
        self.text.requires_grad_(self.text_trainable)
        self.image.requires_grad_(self.image_trainable)
        self.modalities = head.modalities
        self.fusion: Concat | CrossModal
        if head.fusion == "concat":
            self.fusion = Concat(text.width, image.width)
        else:
            cells, width = image.shape
            self.fusion = CrossModal(text.width, width, cells, head.hidden_size, head.dropout)
        self.dense = nn.Linear(self.fusion.width, head.hidden_size) if head.hidden_size else None
        self.output = nn.Linear(head.hidden_size or self.fusion.width, labels)
        self.ngrams = NgramLogits(labels, tokens) if config.text.ngrams != "off" else None
        self.dropout = nn.Dropout(head.dropout)
        self.modality_dropout = head.modality_dropout
        self.trained_in: Arithmetic = "fp32"  # what a training leaves here, for answers that need be no more exact

    def leaves_out(self, name: str) -> bool:
        """Whether a module or weight of this name belongs to an encoder that does not run."""
        return OTHER.get(self.modalities) == name.partition(".")[0]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, present: Tensor) -> Tensor:
        """Logits float (B, L) from ids and mask int64 (B, T), normalised pixels float (B, 3, H, W) and present
        float (B, 2): 1 where the example has a text, 1 where it has an image, else 0."""
        return self.outputs(input_ids, attention_mask, present, pixels=pixels).logits

    def outputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        present: Tensor,
        pixels: Tensor | None = None,
        image_features: Tensor | None = None,
        text_features: Tensor | None = None,
    ) -> Outputs[Tensor]:
        """As `forward`, with the encoders' pooled outputs; the image's are zeros for an example without one.
        `image_features` float (B, *image.shape), cached from a frozen image tower, take the place of `pixels`, and
        `text_features` float (B, text.width) that of a frozen text tower's."""
        image = self._image_features(pixels, present) if image_features is None else image_features
        pooled = (image.mean(1) if image.ndim == 3 else image) * present[:, 1:]
        present = self.drop_modalities(present)
        if isinstance(self.fusion, Concat):
            text = self._pooled_text(input_ids, attention_mask) if text_features is None else text_features
            joint = self.fusion(text, image, present)
        else:
            states = self._text_states(input_ids, attention_mask)
            text = self.text.pool(states, attention_mask)
            joint = self.fusion(states, attention_mask, image, present)
        logits = self._head(joint)
        if self.ngrams is not None:
            logits = logits + self.ngrams(input_ids, attention_mask) * present[:, :1]
        return Outputs(logits, text, pooled)

    def pooled(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        present: Tensor,
        pixels: Tensor | None = None,
        image_features: Tensor | None = None,
        text_features: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The features that `outputs` may be given in place of texts and pixels; none where its fusion reads tokens
        and cells."""
        if not isinstance(self.fusion, Concat):
            return {}
        image = self._image_features(pixels, present) if image_features is None else image_features
        text = self._pooled_text(input_ids, attention_mask) if text_features is None else text_features
        return {"image_features": image.float(), "text_features": text.float()}

    def _head(self, joint: Tensor) -> Tensor:
        if self.dense is not None:
            joint = torch.relu(self.dense(self.dropout(joint)))
        logits: Tensor = self.output(self.dropout(joint))
        return logits

    def _pooled_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.text.pool(self._text_states(input_ids, attention_mask), attention_mask)

    def _text_states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if self.modalities == "image":
            return self.output.weight.new_zeros((*input_ids.shape, self.text.width))
        return self.text.hidden_states(input_ids, attention_mask)

    def _image_features(self, pixels: Tensor | None, present: Tensor) -> Tensor:
        if self.modalities == "text":
            return self._no_image_features(present.shape[0])
        if self.training and self.image_trainable and pixels is not None:
            return train_on_images(
                self.image, pixels, present[:, 1], lambda: self._no_image_features(present.shape[0])
            )
        result: Tensor = self.image(pixels)
        return result

    def _no_image_features(self, rows: int) -> Tensor:
        return self.output.weight.new_zeros((rows, *self.image.shape))

    def drop_modalities(self, present: Tensor) -> Tensor:
        """`present` (B, 2) without the modality that is not used, and in training after modality dropout, which
        leaves every example at least one."""
        if self.modalities != "both":
            used = torch.tensor([self.modalities == "text", self.modalities == "image"], device=present.device)
            return present * used.to(present.dtype)
        if not self.training or self.modality_dropout == 0:
            return present
        share = self.modality_dropout
        drawn = torch.rand(len(present), device=present.device)
        kept = torch.stack([drawn >= share, (drawn < share) | (drawn >= 2 * share)], dim=1).to(present.dtype)
        return torch.where(present.sum(1, keepdim=True) == 2, kept, present)

    def train(self, mode: bool = True) -> TwoTowerNetwork:
        """As in torch, but a frozen tower stays in eval mode: its batch norms must not be updated and nothing of it
        dropped out."""
        super().train(mode)
        if not self.text_trainable:
            self.text.eval()
        if not self.image_trainable:
            self.image.eval()
        return self

    def initialise_bias(self, rates: Tensor, groups: GroupColumns = NO_GROUPS) -> None:
        """Set the output bias to logit(rate) of each label, float (L,), and to log(rate) in a group, so that
        training starts from the label frequencies and not from 0.5 (Lin et al. 2018, "Focal Loss for Dense Object
        Detection", section 3.3)."""
        clipped = rates.clamp(1e-3, 1 - 1e-3)
        bias = torch.log(clipped / (1 - clipped))
        for columns in groups.values():
            bias[list(columns)] = torch.log(clipped[list(columns)])
        with torch.no_grad():
            self.output.bias.copy_(bias)
