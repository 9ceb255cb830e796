"""What is measured of one variant's time, memory and work, and of the machine's own speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distill.scoring.estimate import Estimate


@dataclass(frozen=True)
class Timing:
    """Milliseconds a call of `batch` examples, end to end: image files and texts in, labels out.

    `raw_ms` holds the timed calls round by round, warm-up excluded. The intervals draw whole rounds, because calls
    of one round share the machine's mood. p90 and p99 are None below the number of calls that they need.
    `round_spread` is (largest - smallest) / median of the rounds' medians. `model_raw_ms` holds a few rounds of the
    same calls with images and texts decoded and tokenised beforehand, None in reports of earlier versions.
    """

    threads: int
    batch: int
    p50: Estimate
    p90: Estimate | None
    p99: Estimate | None
    round_spread: float
    raw_ms: tuple[tuple[float, ...], ...]
    model_raw_ms: tuple[tuple[float, ...], ...] | None = None

    @property
    def model_p50(self) -> float | None:
        """The median of the calls without decoding and tokenising, None in reports of earlier versions."""
        times = [time for part in self.model_raw_ms or () for time in part]
        return float(np.median(times)) if times else None

    @property
    def calls(self) -> int:
        """How many were timed."""
        return sum(len(part) for part in self.raw_ms)

    @property
    def throughput(self) -> Estimate:
        """Examples a second at the median call."""
        p50 = self.p50
        return Estimate(*(1000 * self.batch / ms for ms in (p50.value, p50.high, p50.low)))


@dataclass(frozen=True)
class Stream:
    """Posts a second from image files and texts to labels, when `posts` are asked for all at once and the runtime
    uses its threads as it likes best, which `how` says; the model takes `batch` posts together.

    `seconds` holds each timed round, and the interval draws rounds."""

    threads: int
    batch: int
    how: str
    posts: int
    posts_per_s: Estimate
    seconds: tuple[float, ...]

    @property
    def per_post_s(self) -> tuple[tuple[float, ...], ...]:
        """Seconds for each post, a round of one figure each."""
        return tuple((seconds / self.posts,) for seconds in self.seconds)


@dataclass(frozen=True)
class Stage:
    """Mean milliseconds of one step of a call at batch 1. Names, in order: decode, resize, tokenise, batch, then
    text, image and head, or model where the runtime does not tell them apart, then decide."""

    name: str
    ms: float


@dataclass(frozen=True)
class ColdStart:
    """Milliseconds, each the median over `starts_ms`, which holds every fresh process's whole time from its start
    to its first answer: interpreter and imports, opening the model alone, and the first call."""

    total_ms: float
    import_ms: float
    open_ms: float
    first_call_ms: float
    starts_ms: tuple[float, ...]


@dataclass(frozen=True)
class Resident:
    """Bytes of a process in memory; PSS counts pages shared with others in part, None where the system has none."""

    rss_bytes: int
    pss_bytes: int | None


@dataclass(frozen=True)
class WithoutArena:
    """The same calls in a process whose onnxruntime gives memory back at once (enable_cpu_mem_arena off)."""

    steady: Resident
    peak_bytes: int
    p50_ms: float


@dataclass(frozen=True)
class Memory:
    """`imported` is the interpreter with the same imports and no model: what is above it is the model's.
    `load_peak_bytes` and `peak_bytes` are the largest RSS up to the open model and up to the last call, `steady`
    after it."""

    imported: Resident
    load_peak_bytes: int
    steady: Resident
    peak_bytes: int
    torch_loaded: bool
    without_arena: WithoutArena | None


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates of one example of `tokens` tokens, in 8 bits or fewer and in float; `model_ms` is
    the model's time for it, `ideal_ms` what it would take at the machine's measured peaks, `of_peak` their
    ratio. `weight_bytes` is what has to be read of its weights meanwhile, None in reports of earlier versions."""

    tokens: int
    low_bit_macs: int
    float_macs: int
    model_ms: float
    ideal_ms: float
    of_peak: float
    weight_bytes: int | None = None


@dataclass(frozen=True)
class Peak:
    """The machine's own matrix products in onnxruntime, in 10^9 operations a second (a multiply-accumulate is
    two): what the best of calls reached for rows x inner x columns. `read_gb_s` is how fast memory was read, in
    10^9 bytes a second, None in reports of earlier versions."""

    threads: int
    rows: int
    inner: int
    columns: int
    int8_gops: float
    fp32_gops: float
    read_gb_s: float | None = None

    def products_ms(self, low_bit_macs: int, float_macs: int) -> float:
        """What so many multiply-accumulates would take."""
        return 2 * (low_bit_macs / self.int8_gops + float_macs / self.fp32_gops) / 1e6  # operations / (10^9 / s)

    def read_ms(self, size_bytes: int | None) -> float | None:
        """What reading so many bytes would take."""
        return None if size_bytes is None or not self.read_gb_s else size_bytes / self.read_gb_s / 1e6
