"""Where a training computes: what a user chose, for `distill.model` to look up. Imports nothing slow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

from distill.core.arguments import check_choice

Device = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[Device, ...] = get_args(Device)

_chosen: ContextVar[Device] = ContextVar("device", default="auto")


@contextmanager
def using_device(device: Device | None) -> Iterator[None]:
    """Train on this device in the block; None leaves what is chosen outside. Raises ArgumentError."""
    if device is None:
        yield
        return
    check_choice("device", device, DEVICES)
    token = _chosen.set(device)
    try:
        yield
    finally:
        _chosen.reset(token)


def chosen_device() -> Device:
    """The device of the innermost `using_device`, "auto" outside of any."""
    return _chosen.get()
