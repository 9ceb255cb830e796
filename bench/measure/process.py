"""The parent's end of one variant's process: it starts it, asks it and reads its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.measure.stages import StageTimes
from bench.measure.worker import Held, Lap, Spec, Start
from bench.runtimes.variants import Variant
from distill.core.errors import BenchError
from distill.core.settings.schema import build_dataclass

WORKER = ("-m", "bench.measure.worker")


class Process:
    """A variant that is open in a fresh process; `start` is the way to its first prediction."""

    def __init__(
        self,
        variant: Variant,
        threads: int,
        rows: tuple[tuple[str, str | None], ...],
        folder: Path,
        arena: bool = True,
    ) -> None:
        """Raises BenchError when the process dies before its first prediction. `folder` is for its notes."""
        self.variant = variant
        model = str(variant.model) if variant.model else None
        spec = Spec(variant.name, variant.kind, variant.runtime, str(variant.folder), model, threads, arena, rows)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8") as written:
            json.dump(asdict(spec), written)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [sys.executable, *WORKER, name, str(time.time())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        try:
            self.start = build_dataclass(Start, self._read(), "start")
        except BaseException:
            self.close()
            raise

    def calls(self, batch: int) -> list[float]:
        """Milliseconds of each call of one round. Raises BenchError when the process has died, as all of these."""
        return [float(ms) for ms in self._ask("calls", batch)]

    def model_calls(self, batch: int) -> list[float]:
        """The same calls with all images and texts decoded and tokenised beforehand."""
        return [float(ms) for ms in self._ask("model", batch)]

    def many(self, batch: int, posts: int) -> Lap:
        """So many examples in the runtime's own best way. Ask for nothing else afterwards."""
        return build_dataclass(Lap, self._ask("many", batch, posts), "lap")

    def stages(self) -> StageTimes:
        """Where the time of a call goes."""
        return build_dataclass(StageTimes, self._ask("stages"), "stages")

    def memory(self) -> Held:
        """What the process holds now and held at most."""
        return build_dataclass(Held, self._ask("memory"), "memory")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            if pipe is not None:
                pipe.close()

    def _ask(self, *request: Any) -> Any:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._dead()
        return self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self._dead()
        return json.loads(line)

    def _dead(self) -> None:
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {self.process.returncode}"
        raise BenchError(f"{self.variant.folder}: its process ended: {reason}")
