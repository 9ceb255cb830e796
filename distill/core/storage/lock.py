"""Locks: one writer at a time, in whatever process, container or machine it runs, for as long as it lives.

A lock is a small file that its holder keeps open under flock. The kernel releases that when the process ends,
however it ends, so what a killed one leaves is free for the next; process ids say nothing in another container. The
file names its holder, for those who are refused.

Where the disk or the system has no flock, the file itself is the lock. It then counts as left behind only where its
holder has certainly ended: the same machine before its last start, or a process of these that is gone.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from distill.core.errors import DistillError
from distill.core.machine.cores import read_system_file

try:
    import fcntl

    HAS_FLOCK = True
except ImportError:  # Windows
    HAS_FLOCK = False

NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
LOCK_FILE = ".lock"
MAX_BYTES = 4096  # of the file
FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True)
class Holder:
    """A process: its host and id, and what tells it from others of this id, as Linux has it, "" elsewhere: the boot
    of the machine, the namespace of process ids, and when it began, in clock ticks since the boot."""

    host: str
    process: int
    boot: str
    namespace: str
    began: str

    @classmethod
    def current(cls) -> Holder:
        """This process."""
        return cls(platform.node(), os.getpid(), _boot(), _namespace(), _began(os.getpid()))

    @classmethod
    def read(cls, lock: Path) -> Holder | None:
        """Who a lock's file names; None for one that is gone, or not written yet."""
        with suppress(OSError, ValueError, TypeError, RecursionError), lock.open("rb") as handle:
            holder = cls(**json.loads(handle.read(MAX_BYTES)))
            return holder if str(holder).isprintable() else None
        return None

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"

    def has_ended(self) -> bool:
        """Whether it certainly has."""
        here = Holder.current()
        if (self.host, bool(self.boot)) != (here.host, True):
            return False
        if self.boot != here.boot:
            return True
        return self.namespace == here.namespace and self.began != _began(self.process)


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds, by its file, kept open where the disk has flock."""

    path: Path
    descriptor: int | None

    def release(self) -> None:
        """Remove the file, if it is still this one, and let others in."""
        if self.descriptor is None:
            self.path.unlink(missing_ok=True)
            return
        with suppress(OSError):  # a folder that may no longer be written
            if _is_at(self.path, self.descriptor):
                self.path.unlink()
        os.close(self.descriptor)


def take(path: Path) -> Lock | None:
    """The lock whose file is `path`, in a folder that exists; None while another one holds it. Raises OSError."""
    while True:
        descriptor, is_new = _open(path)
        lock = None
        try:
            is_free = _flock(descriptor)
            if is_free is None and is_new:
                _name_holder(descriptor)
                return Lock(path, None)
            if not (_remove_left_behind(path) if is_free is None else is_free):
                return None
            if is_free and _is_at(path, descriptor):  # else its last holder has just removed it: try again
                _name_holder(descriptor)
                lock = Lock(path, descriptor)
                return lock
        finally:
            if lock is None:
                os.close(descriptor)


@contextmanager
def sole_writer(target: Path, lock: Path, error: type[DistillError]) -> Iterator[None]:
    """Hold a lock while `target` is written. Raises `error`, with who holds it, when another process does."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = take(lock)
    if held is None:
        holder = Holder.read(lock) or "another process"
        next_step = "wait until it has ended" if _ends_with_holder(lock) else f"if it has ended, remove {lock}"
        raise error(f"{target}: {holder} is writing it; {next_step}, or write to another place")
    try:
        yield
    finally:
        held.release()


def lock_beside(target: Path) -> Path:
    """The lock of a target that is replaced as a whole."""
    return target.with_name(f".{target.name}{LOCK_FILE}")


def lock_inside(folder: Path) -> Path:
    """The lock of a folder that is written file by file, by whatever path or mount it is reached."""
    return folder / LOCK_FILE


def _open(path: Path) -> tuple[int, bool]:
    """The file's descriptor, and whether it is new."""
    while True:
        with suppress(FileExistsError):
            return os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, 0o666), True
        with suppress(FileNotFoundError):
            return os.open(path, FLAGS), False


def _flock(descriptor: int) -> bool | None:
    """Whether the file is locked now, by this process; None where there is no flock."""
    if not HAS_FLOCK:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_FLOCK:
            raise
        return None
    return True


def _ends_with_holder(lock: Path) -> bool:
    with suppress(FileNotFoundError), lock.open("r+b") as handle:
        return _flock(handle.fileno()) is not None
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether this open file is still the one with that name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    return False


def _name_holder(descriptor: int) -> None:
    with suppress(OSError):  # a full disk
        if os.fstat(descriptor).st_size:  # of one who was killed
            os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(asdict(Holder.current())).encode())


def _remove_left_behind(path: Path) -> bool:
    """Whether the holder has certainly ended. Its file is renamed first: of several who find it, one removes it."""
    holder = Holder.read(path)
    if holder is None or not holder.has_ended():
        return False
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        if Holder.read(aside) == holder:
            aside.unlink()
        else:  # another has taken it in between
            aside.rename(path)
    return True


def _boot() -> str:
    return read_system_file(Path("/proc/sys/kernel/random/boot_id"))


def _namespace() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _began(process: int) -> str:
    fields = read_system_file(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return fields[19] if fields else ""
