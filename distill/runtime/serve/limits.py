"""What a service grants to those who ask. Knows numbers, no HTTP."""

from __future__ import annotations

from dataclasses import dataclass

MAX_TEXT = 100_000  # characters: tokenising so many takes a twentieth of a second, and a model reads some hundred
MAX_ID = 200  # characters
BODIES_HELD = 16  # of the largest size, together: bounds the memory when everybody sends the largest there is


@dataclass(frozen=True)
class Limits:
    """All that is bounded. `max_batch` posts run together; one that is ready waits at most `max_wait_ms` for others
    whose images are being decoded. `max_queue` posts may be in hand at once, `max_mb` megabytes a body,
    `max_megapixels` an image, and `timeout_s` seconds from the first byte to the answer."""

    max_batch: int = 8
    max_wait_ms: float = 5.0
    max_queue: int = 64
    max_mb: float = 10.0
    max_megapixels: float = 20.0
    timeout_s: float = 30.0

    @property
    def max_bytes(self) -> int:
        """Of one body."""
        return int(self.max_mb * 1e6)

    @property
    def max_bytes_held(self) -> int:
        """Of all bodies at once."""
        return BODIES_HELD * self.max_bytes

    @property
    def max_pixels(self) -> int:
        """Of one image."""
        return int(self.max_megapixels * 1e6)
