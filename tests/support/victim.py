"""A process that dies on purpose, as often as it is asked to. Knows file operations, nothing of distill's own.

`Victim` starts this file once, which imports what is slow, and has it fork a child for each `Task`: a child is
killed before its n-th file operation, or in the middle of the first write beyond a number of bytes, or it meets
a full disk there. That makes a kill point cost no more than the work before it.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WRITING = ("w", "a", "x", "+")
WARM = """
import distill.cli.main, distill.training.trainer, teacher.train, teacher.soft_targets, student.train
import student.control, export.pipeline, distill.runtime.predictor, distill.runtime.predictions, bench.run
import rich._emoji_codes, PIL.JpegImagePlugin
import transformers.models.albert.modeling_albert, transformers.models.resnet.modeling_resnet, tokenizers.trainers
import transformers.models.distilbert.modeling_distilbert, torchvision.transforms.v2
import transformers.models.mobilenet_v2.modeling_mobilenet_v2, transformers.image_processing_utils_fast
import onnxruntime.quantization, onnxscript.rewriter.ort_fusions
"""


@dataclass(frozen=True)
class Task:
    """Python source, the folder whose file operations count, and what happens to who runs it: killed before
    operation `kill_at`, a number or the beginning of a name; or no file may pass `file_bytes`, where a write
    fails, or kills when it is `deadly`."""

    source: str
    root: str
    kill_at: int | str | None = None
    file_bytes: int | None = None
    deadly: bool = False


@dataclass(frozen=True)
class End:
    """How it ended: exit code (negative: the signal), what it printed, and the file operations it began."""

    code: int
    output: str
    operations: tuple[str, ...]

    @property
    def killed(self) -> bool:
        """Whether it met its end and did not come to its own."""
        return self.code in (-signal.SIGKILL, -signal.SIGXFSZ)


class Victim:
    """The process that forks; `run` is one child's life. `ends` counts, for each test, what its children met:
    killed, torn (killed in the middle of a write) or full (no room)."""

    def __init__(self) -> None:
        self.ends: dict[str, Counter[str]] = defaultdict(Counter)
        command = [sys.executable, __file__]
        home = {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ) | home
        )

    def run(self, source: str, root: Path, **fate: Any) -> End:
        """Run Python source in a child."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(Task(source, str(root), **fate))) + "\n")
        self.process.stdin.flush()
        tree = json.loads(self.process.stdout.readline())
        end = End(tree["code"], tree["output"], tuple(tree["operations"]))
        test = os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2].partition(" (")[0].partition("[")[0]
        if end.killed:
            self.ends[test]["torn" if fate.get("deadly") else "killed"] += 1
        elif fate.get("file_bytes") is not None and end.code != 0:
            self.ends[test]["full"] += 1
        return end

    def distill(self, *words: object, root: Path, **fate: Any) -> End:
        """Run one of distill's commands in a child."""
        arguments = [str(word) for word in words]
        return self.run(f"from distill.cli.main import main\nmain({arguments!r})", root, **fate)

    def close(self) -> None:
        """End it; it has no child then."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def leftovers(folder: Path) -> list[str]:
    """What a writer that died has left: hidden names, parts, and folders of work."""
    return [str(path) for path in folder.rglob("*") if path.suffix in (".part", ".old", ".work", ".lock")]


def anew(folder: Path) -> None:
    """Empty it: what one kill leaves would be more operations for the next."""
    shutil.rmtree(folder)
    folder.mkdir()


def every_point(run: Callable[[int], End], check: Callable[[int], None]) -> int:
    """Kill a run before each of its file operations, until it has none left to be killed at; how many."""
    for point in range(1000):
        end = run(point)
        if not end.killed:
            assert end.code == 0, end.output
            return point
        check(point)
    raise AssertionError("it never ended")


def main() -> None:
    """Read tasks from standard input, one JSON line each, and answer each with an End."""
    exec(WARM)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        task = Task(**json.loads(line))
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _live(task, writer)
        os.close(writer)
        with os.fdopen(reader, "r", encoding="utf-8", errors="replace") as pipe:
            lines = pipe.read().splitlines()
        _, status = os.waitpid(child, 0)
        operations = [text[1:] for text in lines if text.startswith("\1")]
        output = "\n".join(text for text in lines if not text.startswith("\1"))
        answer = {"code": os.waitstatus_to_exitcode(status), "output": output, "operations": operations}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _live(task: Task, pipe: int) -> None:
    """The child: arrange its fate, run the source, and leave without the parent's clean-up."""
    os.dup2(pipe, 1)
    os.dup2(pipe, 2)
    code = 0
    try:
        _arrange(task, pipe)
        exec(task.source, {"__name__": "task"})
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:  # noqa: BLE001 - nothing may leave the child by another way
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _arrange(task: Task, pipe: int) -> None:
    begun = 0

    def begin(what: str) -> None:
        nonlocal begun
        if begun == task.kill_at or (isinstance(task.kill_at, str) and what.startswith(task.kill_at)):
            os.kill(os.getpid(), signal.SIGKILL)
        begun += 1
        os.write(pipe, f"\1{what}\n".encode())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        what = _operation(event, arguments, task.root)
        if what is not None:
            begin(what)

    real: Callable[[int], None] = os.fsync

    def fsync(descriptor: int) -> None:
        begin("fsync")
        real(descriptor)

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(hook)
    if task.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (task.file_bytes, task.file_bytes))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if task.deadly else signal.SIG_IGN)


def _operation(event: str, arguments: tuple[Any, ...], root: str) -> str | None:
    """Its name, where it changes something below `root`; None for any other event."""
    if event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"):
        return None
    path = arguments[0]
    name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        if name.endswith(".lock"):  # killed here, it leaves what it leaves when it is killed just before
            return None
        writes = any(sign in mode for sign in WRITING) if mode else flags & (os.O_WRONLY | os.O_RDWR)
        return f"open {Path(name).name}" if writes and name.startswith(root) else None
    # What rmtree removes is named relative to an open folder.
    inside = name.startswith(root) or not name.startswith("/")
    return f"{event.removeprefix('os.')} {Path(name).name}" if inside else None


if __name__ == "__main__":
    main()
