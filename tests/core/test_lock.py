"""One writer at a time, whatever process, container or machine it is in, and however it ends."""

from __future__ import annotations

import errno
import json
import os
import platform
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from second_process import go_on, require_containers, run_python, second_process, writing

from distill.core.errors import RunError
from distill.core.storage import lock as locks
from distill.core.storage.files import atomic_folder, hidden_path, write_json
from distill.core.storage.lock import Holder, lock_beside, lock_inside, sole_writer, take

fcntl = pytest.importorskip("fcntl")

# Writes a file of a folder, waits, and writes the other one.
SLOW_FOLDER = """
from pathlib import Path
from distill.core.storage.files import atomic_folder
with atomic_folder(Path({target!r})) as folder:
    (folder / "first").write_text("1")
    print("ready", flush=True)
    input()
    (folder / "second").write_text("2")
"""
QUICK_FOLDER = """
from pathlib import Path
from distill.core.storage.files import atomic_folder, scratch_folder
with scratch_folder(Path({target!r})), atomic_folder(Path({target!r})) as folder:
    (folder / "other").write_text("3")
"""
QUICK_FILE = """
from pathlib import Path
from distill.core.storage.files import write_bytes
write_bytes(Path({target!r}), b"quick")
"""
SLOW_FILE = """
import os
from pathlib import Path
from distill.core.storage.files import write_bytes
real = os.fsync
def fsync(descriptor):
    print("ready", flush=True)
    input()
    real(descriptor)
os.fsync = fsync
write_bytes(Path({target!r}), b"slow")
"""


@pytest.fixture(params=[False, True], ids=["here", "in a container"])
def container(request: pytest.FixtureRequest) -> bool:
    """Whether the second process has process ids of its own."""
    if request.param:
        require_containers()
    return bool(request.param)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_lock_is_held_until_its_process_is_killed(tmp_path: Path, container: bool) -> None:
    target = tmp_path / "run"
    with second_process(writing(target, inside=True), container) as second:
        process = 1 if container else second.pid
        who = f"process {process} on {platform.node()} is writing it; wait until it has ended, or write to another"
        with pytest.raises(RunError, match=who), sole_writer(target, lock_inside(target), RunError):
            pass
    with sole_writer(target, lock_inside(target), RunError):
        assert str(Holder.read(lock_inside(target))) == f"process {os.getpid()} on {platform.node()}"
    assert names(target) == []


def test_a_lock_that_its_holder_removes_at_that_moment_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock = tmp_path / "lock", locks._flock

    def slow(descriptor: int) -> bool | None:
        monkeypatch.setattr(locks, "_flock", flock)
        path.unlink()
        return flock(descriptor)

    monkeypatch.setattr(locks, "_flock", slow)
    held = take(path)
    assert held is not None
    assert path.exists()
    assert take(path) is None
    path.rename(tmp_path / "elsewhere")
    other = take(path)
    assert other is not None
    held.release()
    assert path.exists()  # it is the other one's
    other.release()
    assert not path.exists()


@pytest.mark.parametrize("fault", [errno.ENOLCK, errno.EOPNOTSUPP, None], ids=["ENOLCK", "EOPNOTSUPP", "Windows"])
def test_without_flock_the_file_is_the_lock_and_is_freed_only_of_those_who_have_certainly_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int | None
) -> None:
    def no_flock(*_: object) -> None:
        raise OSError(fault, "no locks")

    if fault is None:
        monkeypatch.setattr(locks, "HAS_FLOCK", False)
    else:
        monkeypatch.setattr(fcntl, "flock", no_flock)
    path, here = tmp_path / "lock", Holder.current()
    held = take(path)
    assert held is not None
    assert take(path) is None
    with pytest.raises(RunError, match=rf"if it has ended, remove {path}"), sole_writer(tmp_path, path, RunError):
        pass
    held.release()
    assert names(tmp_path) == []
    if not here.boot:
        pytest.skip("this system does not tell when a process has ended")
    living = (here, replace(here, host="elsewhere"), replace(here, namespace="pid:[1]", began="1"))
    ended = (replace(here, boot="before"), replace(here, began="1"), replace(here, process=2**22 + 1))
    for holder in (*living, *ended):
        path.write_text(json.dumps(asdict(holder)))
        found = take(path)
        assert (found is not None) == (holder in ended), holder
        path.unlink()
    for damaged in ("", "[1]", "{}", json.dumps(asdict(replace(here, host="\x1b[2J")))):
        path.write_text(damaged)
        assert take(path) is None
        with pytest.raises(RunError, match=": another process is writing it"), sole_writer(path, path, RunError):
            pass


def test_what_a_living_process_is_writing_is_let_be(tmp_path: Path, container: bool) -> None:
    """Where its id is nobody's: the other writer may be in a container."""
    target = tmp_path / "folder"
    with second_process(SLOW_FOLDER.format(target=str(target))) as second:
        run_python(QUICK_FOLDER.format(target=str(target)), container)
        assert names(target) == ["other"]
        assert go_on(second) == 0
    assert names(target) == ["first", "second"]
    assert names(tmp_path) == ["folder"]
    target = tmp_path / "figures.json"
    with second_process(SLOW_FILE.format(target=str(target))) as second:
        run_python(QUICK_FILE.format(target=str(target)), container)
        assert target.read_text() == "quick"
        assert go_on(second) == 0
    assert target.read_text() == "slow"
    assert names(tmp_path) == ["figures.json", "folder"]


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path, container: bool) -> None:
    target = tmp_path / "folder"
    other = tmp_path / ".folder.backup.part"  # of a name that is not ours
    other.write_text("kept")
    with second_process(SLOW_FOLDER.format(target=str(target)), container):
        assert len(names(tmp_path)) == 3
    with atomic_folder(target) as folder:
        (folder / "other").write_text("3")
    assert names(tmp_path) == [other.name, "folder"]


def test_two_who_replace_a_folder_at_once_both_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two names cannot be exchanged, there is a moment when the name is free."""
    target, rename = tmp_path / "folder", Path.rename
    target.mkdir()
    monkeypatch.setattr("distill.core.storage.files._exchange", lambda *_: False)

    def quicker(self: Path, other: Path) -> Path:
        renamed = rename(self, other)
        if self == target:  # moved aside: the name is free
            monkeypatch.setattr(Path, "rename", rename)
            with atomic_folder(target) as folder:
                (folder / "second").touch()
        return renamed

    monkeypatch.setattr(Path, "rename", quicker)
    with atomic_folder(target) as folder:
        (folder / "first").touch()
    assert names(target) == ["first"]
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_vanished_is_no_success(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    for swaps in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not swaps:
                patch.setattr("distill.core.storage.files._exchange", lambda *_: False)
            with pytest.raises(FileNotFoundError), atomic_folder(target) as folder:
                folder.rmdir()
        assert names(tmp_path) == ["folder"]


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("distill.core.storage.files.take", refuse)
    with pytest.raises(PermissionError, match=f"Permission denied: '{tmp_path}/figures.json'"):
        write_json(tmp_path / "figures.json", [])


def test_a_hidden_name_is_used_once(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with hidden_path(target, "part") as first, hidden_path(target, "part") as second:
        first.touch()
        second.touch()
        assert first != second
        with sole_writer(target, lock_beside(target), RunError):
            write_json(target, [])
        assert first.exists()
    assert names(tmp_path) == ["a"]
