"""Small encoders that start from nothing: an LSTM for texts, a convolutional network for images. Knows tensors.

They are what pretrained encoders are compared with. Both look like the pretrained ones from outside: a text
backbone has a `config` and gives `last_hidden_state`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

LSTM, CNN = "lstm", "cnn"  # the names that a recipe gives them
VOCABULARY = 8000
PAD, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
CHANNELS = (32, 64, 128, 256)


@dataclass(frozen=True)
class LstmConfig:
    """Sizes of an LSTM; `hidden_size` is both directions together."""

    vocab_size: int
    embedding: int = 128
    hidden_size: int = 256
    dropout: float = 0.2
    model_type: str = "distill-lstm"

    def to_dict(self) -> dict[str, Any]:
        """As a transformers configuration gives itself."""
        return asdict(self)


class States(NamedTuple):
    """last_hidden_state float (B, T, hidden_size)."""

    last_hidden_state: Tensor


class Lstm(nn.Module):
    """Embeddings and one bidirectional LSTM (Hochreiter and Schmidhuber 1997): ids int64 (B, T) to States."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding, padding_idx=0)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(config.embedding, config.hidden_size // 2, batch_first=True, bidirectional=True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> States:
        """Padding stands at the end, where only the backward direction begins: it is packed away."""
        lengths = attention_mask.sum(1).clamp(min=1).cpu()
        embedded = self.dropout(self.embedding(input_ids))
        packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=input_ids.shape[1]
        )
        return States(states)


def word_pieces(texts: Sequence[str]) -> Tokenizer:
    """A WordPiece tokenizer in lower case, its vocabulary learned from the texts: the same texts, the same ids.

    The trainer numbers letters inside of words in the order of a hash table that is seeded anew each time, and
    decides ties by number. So they are numbered for it, as special tokens, which they are not in what is returned.
    """
    learned = _bert_like(models.WordPiece(unk_token=UNKNOWN))
    special = [PAD, UNKNOWN, FIRST, LAST]
    words = {word for text in texts for word, _ in _words(learned, text)}
    inside = sorted({f"##{letter}" for word in words for letter in word[1:]})
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special + inside, show_progress=False)
    learned.train_from_iterator(texts, trainer)
    tokenizer = _bert_like(models.WordPiece(learned.get_vocab(), unk_token=UNKNOWN))
    tokenizer.add_special_tokens(special)
    tokenizer.decoder = decoders.WordPiece()
    ends = [(token, tokenizer.token_to_id(token)) for token in (FIRST, LAST)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{FIRST} $A {LAST}", pair=f"{FIRST} $A {LAST} $B {LAST}", special_tokens=ends
    )
    return tokenizer


def _bert_like(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _words(tokenizer: Tokenizer, text: str) -> list[tuple[str, tuple[int, int]]]:
    words: list[tuple[str, tuple[int, int]]] = tokenizer.pre_tokenizer.pre_tokenize_str(
        tokenizer.normalizer.normalize_str(text)
    )
    return words


def small_cnn() -> nn.Sequential:
    """Blocks of convolution, batch norm and pooling; `features` gives the grid, all of it the pooled vector."""
    blocks: list[nn.Module] = []
    before = 3
    for channels in CHANNELS:
        blocks += [
            nn.Conv2d(before, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        ]
        before = channels
    return nn.Sequential(_named(blocks))


def _named(blocks: list[nn.Module]) -> Any:
    from collections import OrderedDict

    return OrderedDict(features=nn.Sequential(*blocks), pool=nn.AdaptiveAvgPool2d(1))
