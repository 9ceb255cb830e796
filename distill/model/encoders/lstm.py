"""A bidirectional LSTM and its tokenizer, both trained from scratch (`text.model = "lstm"`), as a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from distill.core.errors import RecipeError

VOCABULARY = 8000
PAD, UNKNOWN, CLS, SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"


@dataclass(frozen=True)
class LstmConfig:
    """Sizes of an LSTM; `hidden_size` counts both directions together."""

    vocab_size: int
    embedding: int = 128
    hidden_size: int = 256
    dropout: float = 0.2
    model_type: str = "distill-lstm"

    def __post_init__(self) -> None:
        sizes = {"vocab_size": 1 << 20, "embedding": 1 << 13, "hidden_size": 1 << 13}
        for name, most in sizes.items():
            if not 1 <= getattr(self, name) <= most:
                raise RecipeError(f"text.config.{name} must be 1 to {most}, got {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json, as transformers' configurations give it."""
        return asdict(self)


class LstmOutput(NamedTuple):
    """`last_hidden_state` float (B, T, hidden_size), as in the outputs of transformers' models."""

    last_hidden_state: Tensor


class Lstm(nn.Module):
    """Embeddings and one bidirectional LSTM (Hochreiter and Schmidhuber 1997): ids int64 (B, T) to LstmOutput."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding, padding_idx=0)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(config.embedding, config.hidden_size // 2, batch_first=True, bidirectional=True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> LstmOutput:
        """Sequences are packed, so that the backward direction does not begin in the padding at the end."""
        lengths = attention_mask.sum(1).clamp(min=1).cpu()
        embedded = self.dropout(self.embedding(input_ids))
        packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=input_ids.shape[1]
        )
        return LstmOutput(states)


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """A lower-casing WordPiece tokenizer, its vocabulary learned from the texts; the same texts give the same ids.

    The trainer numbers letters inside of words in the order of a hash table with a new seed each time, and breaks
    ties by number. So these letters are given to it in order, as special tokens, which they are not in the result.
    """
    learned = _bert_tokenizer(models.WordPiece(unk_token=UNKNOWN))
    special = [PAD, UNKNOWN, CLS, SEP]
    words = {word for text in texts for word in _words(learned, text)}
    inner_letters = sorted({f"##{letter}" for word in words for letter in word[1:]})
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=special + inner_letters, show_progress=False
    )
    learned.train_from_iterator(texts, trainer)
    tokenizer = _bert_tokenizer(models.WordPiece(learned.get_vocab(), unk_token=UNKNOWN))
    tokenizer.add_special_tokens(special)
    tokenizer.decoder = decoders.WordPiece()
    ends = [(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B {SEP}", special_tokens=ends
    )
    return tokenizer


def _bert_tokenizer(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _words(tokenizer: Tokenizer, text: str) -> list[str]:
    normalised = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalised)]
