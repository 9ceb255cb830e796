"""What torchrun and accelerate tell each process in its environment, checked before torch reads it."""

from __future__ import annotations

import os

from distill.core.errors import RunError

TRAINING = ("train-teacher", "compare-teachers", "train-student", "finetune-int8")  # these run in several processes
NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
NO_RANK = "-1"  # of LOCAL_RANK: a process alone
NEXT = "start the command with torchrun or accelerate launch, which set all of them, or unset"


def runs_in_several_processes(command: str) -> bool:
    """Whether this is one of several processes of `distill COMMAND`. Raises RunError for variables that no launcher
    sets so, and, in the first process, for a command that runs in one; the others of it exit."""
    for name in NUMBERS:
        value = os.environ.get(name, "0")
        if (name, value) == ("LOCAL_RANK", NO_RANK):
            continue
        if not (value.isascii() and value.isdecimal() and len(value) <= 9):
            raise RunError(f"{name}={value[:40]!r} is not a whole number; {NEXT} {name}")
    rank, size = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    if command not in TRAINING and ("RANK" not in os.environ or size < 2):
        return False
    # With LOCAL_RANK alone, transformers takes this for one of several processes too.
    if size > 1 or os.environ.get("LOCAL_RANK", NO_RANK) != NO_RANK:
        _check_complete("WORLD_SIZE" if size > 1 else "LOCAL_RANK")
    if size > 1 and rank >= size:
        raise RunError(f"RANK={rank} is not below WORLD_SIZE={size}; {NEXT} RANK and WORLD_SIZE")
    if command not in TRAINING:
        if rank > 0:
            raise SystemExit(RunError.exit_code)
        raise RunError(f"distill {command} runs in one process; give it without torchrun or accelerate launch")
    return size > 1


def _check_complete(name: str) -> None:
    absent = [other for other in NEEDED if not os.environ.get(other)]
    if absent:
        raise RunError(f"{name}={os.environ[name]} is set, but not {' and '.join(absent)}; {NEXT} {name}")
