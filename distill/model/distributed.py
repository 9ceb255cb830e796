"""Distributed training: the processes that torchrun or accelerate start, and how they divide and join their work.

In a single process every function here returns its argument and does nothing else. In several, each runs the same
lines, all on the same folders, and they synchronise here:
  on_first_process    runs once what must be done once, such as writing a file, while the others wait
  shard, all_gather   this process's part of a batch, and the whole batch's outputs again
  all_reduce_sum      adds up arrays of which each process filled its own rows
A process that fails reports its error and ends; its launcher ends the others.
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

from distill.core.errors import RecipeError, RunError
from distill.core.output import terminal

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT = timedelta(days=7)  # the others wait while the first works alone; its death is noticed without this
CPU = torch.device("cpu")

_store: dist.Store | None = None  # the key-value store that the processes share
_on_first_process = False
_group_numbers = itertools.count()


def init_process_group() -> None:
    """Join the other processes of this command, and print nothing in all but the first. Raises RunError."""
    global _store
    terminal.console.quiet = terminal.output.quiet = int(os.environ["RANK"]) > 0
    try:
        store, own_rank, size = next(dist.rendezvous("env://"))
    except (ValueError, RuntimeError) as error:  # no such host, or a port in use
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RunError(f"the first process cannot be met at {address}: {str(error).splitlines()[0]}") from error
    _store = dist.PrefixStore(f"command{next(_group_numbers)}", store)  # a store remembers the group before
    gpus, local_rank = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", "0"))
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"  # what is no tensor of a model goes by way of gloo
    dist.init_process_group(backend, timeout=TIMEOUT, store=_store, rank=own_rank, world_size=size)
    if gpus and local_rank >= gpus:
        raise RunError(
            f"{local_rank + 1} processes or more on a machine with {gpus} GPU(s): one process uses one GPU; start "
            f"{gpus}, or set CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    if gpus:
        torch.cuda.set_device(local_rank)


def destroy_process_group() -> None:
    """Wait for the others and leave."""
    if world_size() > 1:
        barrier()
        dist.destroy_process_group()


def is_first_to_fail() -> bool:
    """Whether this process should report its error: of several that fail, the first to ask."""
    if _store is None:
        return True
    with suppress(RuntimeError):  # the process that kept the store has ended, and has reported its error
        return bool(_store.add("failed", 1) == 1)
    return False


def world_size() -> int:
    """How many processes work together: 1 inside `on_first_process`."""
    return 1 if _on_first_process else _launched()


def rank() -> int:
    """The number of this process, 0 to world_size - 1."""
    return int(dist.get_rank()) if dist.is_initialized() and not _on_first_process else 0


def _launched() -> int:
    return int(dist.get_world_size()) if dist.is_initialized() else 1


def check_batch_size(batch_size: int) -> None:
    """Raise RecipeError for a batch that does not divide into equal parts; works inside `on_first_process` too."""
    count = _launched()
    if batch_size % count:
        raise RecipeError(
            f"batch_size={batch_size} is the batch of all processes together, and does not divide by {count}; "
            f"start another number of processes, or set a multiple of {count}"
        )


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        dist.all_reduce(torch.zeros(()))


def on_first_process(function: Callable[P, T]) -> Callable[P, T]:
    """Run `function` in the first process only, as if there were no others; all get what it returns."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        global _on_first_process
        if world_size() == 1:
            return function(*args, **kwargs)
        result: list[T] = []
        if rank() == 0:
            _on_first_process = True
            try:
                result = [function(*args, **kwargs)]
            finally:
                _on_first_process = False
        message = [result]
        dist.broadcast_object_list(message, src=0, device=CPU)
        return message[0][0]

    return wrapper


def shard(rows: Sequence[int]) -> list[int]:
    """This process's part of a batch. All parts are equally long: the last ones repeat rows from the beginning."""
    if world_size() == 1:
        return list(rows)
    size = -(-len(rows) // world_size())
    return [rows[i % len(rows)] for i in range(rank() * size, (rank() + 1) * size)]


def all_gather(part: Tensor) -> Tensor:
    """The parts (B, ...) of all processes in one tensor, as `shard` divided them; cut the repeated rows off.

    The gradient of this process's own part comes back `world_size` times as large: every process computes the same
    loss of the whole batch, and training then averages the gradients over processes.
    """
    if world_size() == 1:
        return part
    own = part.contiguous()
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own.detach())
    if own.requires_grad:
        own = own.view_as(own)
        scale = world_size()
        own.register_hook(lambda gradient: gradient * scale)
        parts[rank()] = own
    return torch.cat(parts)


def all_reduce_sum(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum over processes, in place."""
    if world_size() > 1:
        dist.all_reduce(torch.from_numpy(array))
    return array


def broadcast_buffers(network: nn.Module) -> None:
    """Give every process the first one's buffers: batch statistics differ, as each saw other examples."""
    if world_size() > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)
