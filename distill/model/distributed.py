"""Several processes that do one command together, as torchrun and accelerate start them. Knows no models.

Where they do not, nothing here does anything: `count` is 1, and what is asked for is given back as it is. Elsewhere
every process runs the same lines, and these meet:
  by_first            what must be done once, such as writing: by the first process, while the others wait
  part_of, gathered   a batch, each process's part of it, and the whole batch's outputs again
  added               an array of which each process filled in its own rows
All of them must see the folders that they read and write. A process that fails says so and ends; whoever started
them ends the others.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from distill.core import terminal
from distill.core.errors import RecipeError, RunError

P = ParamSpec("P")
T = TypeVar("T")

COMMANDS = ("train-teacher", "compare-teachers", "train-student", "finetune-int8")
PATIENCE = timedelta(days=7)  # the others wait while the first works alone; its death is noticed without this
CPU = torch.device("cpu")

_store: dist.Store | None = None  # where the processes leave word for each other
_alone = False  # inside by_first
_commands = itertools.count()


def start(command: str) -> None:
    """Find the other processes, and be quiet in all but the first. Raises RunError."""
    global _store
    first = os.environ["RANK"] == "0"
    terminal.console.quiet = terminal.output.quiet = not first
    if command not in COMMANDS:
        if not first:
            raise SystemExit(RunError.exit_code)
        raise RunError(f"distill {command} runs in one process; give it without torchrun or accelerate launch")
    store, rank_, count_ = next(dist.rendezvous("env://"))
    _store = dist.PrefixStore(f"command{next(_commands)}", store)  # a store remembers the group before
    gpus, local = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", "0"))
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"  # what is no tensor of a model goes by way of gloo
    dist.init_process_group(backend, timeout=PATIENCE, store=_store, rank=rank_, world_size=count_)
    if gpus and local >= gpus:
        raise RunError(
            f"{local + 1} processes or more on a machine with {gpus} GPU(s): one process uses one GPU; start "
            f"{gpus}, or set CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    if gpus:
        torch.cuda.set_device(local)


def end() -> None:
    """Part, when all of them are done."""
    if count() > 1:
        meet()
        dist.destroy_process_group()


def first_to_fail() -> bool:
    """Whether this process has to say what went wrong: the first to ask, of several."""
    if _store is None:
        return True
    with suppress(RuntimeError):  # whoever kept the store is gone, and has said why
        return bool(_store.add("failed", 1) == 1)
    return False


def count() -> int:
    """How many processes there are."""
    return 1 if _alone else _started()


def rank() -> int:
    """Which one this is; the first is 0."""
    return int(dist.get_rank()) if dist.is_initialized() and not _alone else 0


def _started() -> int:
    return int(dist.get_world_size()) if dist.is_initialized() else 1


def check_batch_size(batch_size: int) -> None:
    """Raise RecipeError where a batch cannot be divided into equal parts. May be asked in `by_first`."""
    if batch_size % _started():
        raise RecipeError(
            f"batch_size={batch_size} is the batch of all processes together, and does not divide by {_started()}; "
            f"start another number of processes, or set a multiple of {_started()}"
        )


def meet() -> None:
    """Wait until every process is here."""
    if count() > 1:
        dist.all_reduce(torch.zeros(()))


def by_first(work: Callable[P, T]) -> Callable[P, T]:
    """`work`, done by the first process alone, as if there were no others; what it returns goes to all."""

    @wraps(work)
    def done(*args: P.args, **kwargs: P.kwargs) -> T:
        global _alone
        if count() == 1:
            return work(*args, **kwargs)
        box: list[T] = []
        if rank() == 0:
            _alone = True
            try:
                box = [work(*args, **kwargs)]
            finally:
                _alone = False
        sent = [box]
        dist.broadcast_object_list(sent, src=0, device=CPU)
        return sent[0][0]

    return done


def part_of(rows: Sequence[int]) -> list[int]:
    """This process's part of a batch. All are equally long: the last ones begin the batch anew."""
    if count() == 1:
        return list(rows)
    size = -(-len(rows) // count())
    return [rows[at % len(rows)] for at in range(rank() * size, (rank() + 1) * size)]


def gathered(part: Tensor) -> Tensor:
    """All processes' parts (B, ...), one after the other, of a batch that was divided by `part_of`; what goes
    beyond the batch is left to cut off.

    The gradient of this process's own part comes back `count` times as large: every process computes the same loss
    of the whole batch, and the mean of the gradients, which is what training takes, then is the loss's own.
    """
    if count() == 1:
        return part
    own = part.contiguous()
    parts = [torch.empty_like(own) for _ in range(count())]
    dist.all_gather(parts, own.detach())
    if own.requires_grad:
        own = own.view_as(own)
        scale = count()
        own.register_hook(lambda gradient: gradient * scale)
        parts[rank()] = own
    return torch.cat(parts)


def added(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum over processes, in place."""
    if count() > 1:
        dist.all_reduce(torch.from_numpy(array))
    return array


def share_buffers(network: nn.Module) -> None:
    """Give all the first one's buffers: those that are learned saw other examples in each process."""
    if count() > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)
