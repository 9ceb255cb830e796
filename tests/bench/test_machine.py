"""What a benchmark says about its machine: processors granted, memory, energy, peaks and the code's revision."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from chain import Chain

from bench.measure import bandwidth, machine, peak
from bench.measure.energy import Meter
from bench.report.measured import Peak
from bench.report.types import Machine
from distill.core.machine import cpu
from distill.core.machine.cores import cpu_affinity, default_threads, granted_cpus, session_threads
from distill.core.settings.schema import build_dataclass
from distill.runtime.onnx.session import open_session

GIB = 1 << 30
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n", encoding="ascii")
    return root


@pytest.fixture
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 8, 10, 11, 12}, raising=False)
    monkeypatch.delenv("ORT_INTRA_OP_NUM_THREADS", raising=False)


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu"
GRANTED = {
    "nothing to read": ({}, 8.0, 8, 0),
    "v2 without a limit": ({"proc/self/cgroup": "0::/a", f"{V2}/a/cpu.max": "max 100000"}, 8.0, 8, 0),
    "v2 at the top of a container": ({"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "150000 100000"}, 1.5, 1, 1),
    "v2, the parent's binds": (
        {
            "proc/self/cgroup": "0::/a/b/c",
            f"{V2}/a/cpu.max": "250000 100000",
            f"{V2}/a/b/cpu.max": "max 100000",
            f"{V2}/a/b/c/cpu.max": "600000 100000",
            f"{V2}/other/cpu.max": "10000 100000",  # not the process's own
        },
        2.5,
        2,
        2,
    ),
    "v2 beside v1": (
        {"proc/self/cgroup": "1:cpu:/\n0::/a", f"{V2}/unified/a/cpu.max": "50000 100000"},
        0.5,
        1,
        1,
    ),
    "v1 nested": (
        {
            "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/x/y",
            f"{V2}/cpu,cpuacct/x/y/cpu.cfs_quota_us": "-1",
            f"{V2}/cpu,cpuacct/x/y/cpu.cfs_period_us": "100000",
            f"{V2}/cpu,cpuacct/x/cpu.cfs_quota_us": "80000",
            f"{V2}/cpu,cpuacct/x/cpu.cfs_period_us": "20000",
        },
        4.0,
        4,
        4,
    ),
    "v1 in a container that shows its own folder as the top": (
        {
            "proc/self/cgroup": "4:cpu:/docker/0123",
            f"{V1}/cpu.cfs_quota_us": "300000",
            f"{V1}/cpu.cfs_period_us": "100000",
        },
        3.0,
        3,
        3,
    ),
    "v2 outside of what the container sees": (
        {"proc/self/cgroup": "0::/../../b", f"{V2}/cpu.max": "200000 100000", "sys/cpu.max": "1000 100000"},
        2.0,
        2,
        2,
    ),
    "more than there are cores": ({"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "900000 100000"}, 8.0, 8, 0),
    "damaged": ({"proc/self/cgroup": "nonsense", f"{V2}/cpu.max": "many", f"{V1}/cpu.cfs_quota_us": ""}, 8.0, 8, 0),
    "a period of nothing": ({"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "100 0"}, 8.0, 8, 0),
}


@pytest.mark.usefixtures("_eight_cores")
@pytest.mark.parametrize("case", GRANTED)
def test_the_cpus_granted_are_the_least_of_affinity_and_quotas(case: str, tmp_path: Path) -> None:
    files, granted, threads, asked = GRANTED[case]
    root = tree(tmp_path, files)
    assert granted_cpus(root) == granted
    assert (default_threads(root), session_threads(root)) == (threads, asked)


@pytest.mark.usefixtures("_eight_cores")
def test_a_users_own_number_of_threads_counts_for_more_than_a_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "150000 100000"})
    monkeypatch.setenv("ORT_INTRA_OP_NUM_THREADS", "4")
    assert session_threads(root) == 0


@pytest.mark.usefixtures("_eight_cores")
def test_affinity_is_written_as_linux_writes_it() -> None:
    assert cpu_affinity() == "0-3,8,10-12"


def test_a_session_of_no_stated_threads_keeps_to_the_quota(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(asked: int) -> int:
        return int(open_session(chain.int8 / "model.onnx", asked).get_session_options().intra_op_num_threads)

    monkeypatch.delenv("ORT_INTRA_OP_NUM_THREADS", raising=False)
    monkeypatch.setattr("distill.core.machine.cores.usable_cores", lambda: list(range(8)))
    monkeypatch.setattr("distill.core.machine.cores.granted_cpus", lambda root: 8.0)
    assert threads(0) == 0
    monkeypatch.setattr("distill.core.machine.cores.granted_cpus", lambda root: 1.5)
    assert threads(0) == 1
    assert threads(3) == 3


def test_memory_is_the_machines_or_the_smallest_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 8 * GIB // 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert machine.memory_bytes(tmp_path) == 8 * GIB
    tree(tmp_path, {"proc/self/cgroup": "0::/a\n3:memory:/m", f"{V2}/a/memory.max": "max"})
    tree(tmp_path, {f"{V2}/memory/memory.limit_in_bytes": "9223372036854771712"})
    assert machine.memory_bytes(tmp_path) == 8 * GIB
    tree(tmp_path, {f"{V2}/memory.max": str(3 * GIB), f"{V2}/memory/m/memory.limit_in_bytes": str(2 * GIB)})
    assert machine.memory_bytes(tmp_path) == 2 * GIB


def test_this_machine_can_be_described() -> None:
    found = machine.describe("attic")
    assert found.name == "attic"
    assert machine.describe(None).name == found.cpu == cpu.cpu_name()
    assert 0 < found.granted <= found.cores
    assert list(found.flags) == sorted(found.flags)
    assert set(found.flags) <= cpu.cpu_flags()
    assert found.int8_target == cpu.detect_target()
    assert build_dataclass(Machine, {**vars(found), "flags": list(found.flags)}, "machine") == found


def test_packages_are_those_that_are_installed() -> None:
    found = machine.packages()
    assert found["onnx"] == onnx.__version__
    assert found["numpy"] == np.__version__
    assert set(found) <= set(machine.PACKAGES)


@needs_git
def test_the_revision_is_the_checkouts_and_says_when_files_differ(tmp_path: Path) -> None:
    def git(*command: str) -> str:
        whose = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", "-C", str(tmp_path), *whose, *command], capture_output=True, check=True)
        return done.stdout.decode().strip()

    tree(tmp_path, {"code/a.py": "1", ".gitignore": "site-packages"})
    git("init", "--quiet")
    assert machine.git_revision(tmp_path / "code") is None  # nothing is tracked yet
    git("add", "--all")
    assert machine.git_revision(tmp_path / "code") is None  # there is no commit yet
    git("commit", "--quiet", "--message", "one")
    revision = git("rev-parse", "HEAD")[:12]
    tree(tmp_path, {"notes.txt": "nobody tracks this", "site-packages/code/a.py": "1"})
    assert machine.git_revision(tmp_path / "code") == revision
    assert machine.git_revision(tmp_path / "site-packages" / "code") is None  # installed inside a checkout
    tree(tmp_path, {"code/a.py": "2"})
    assert machine.git_revision(tmp_path / "code") == f"{revision}+changes"


def test_without_a_checkout_or_git_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.git_revision(tmp_path) is None
    assert machine.git_revision(tmp_path / "wheel.zip" / "bench") is None

    def slow(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("git", 5)

    here = Path(machine.__file__).parent
    monkeypatch.setattr(subprocess, "run", slow)
    assert machine.git_revision(here) is None
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.git_revision(here) is None


def zone(root: Path, folder: str, name: str, energy_uj: int, range_uj: int = 1_000_000) -> Path:
    files = {"name": name, "energy_uj": str(energy_uj), "max_energy_range_uj": str(range_uj)}
    tree(root / folder, files)
    return root / folder / "energy_uj"


def test_energy_is_the_packages_sum_and_counters_may_begin_again(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 100_000, range_uj=2_000_000)
    for folder, name in (
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:2", "psys"),
        ("intel-rapl-mmio:0", "package-0"),  # the first once more, by another way
    ):
        zone(tmp_path, folder, name, 0).write_text("123456")
    meter = Meter.open(tmp_path)
    assert meter is not None
    assert meter.joules() == 0.0
    first.write_text("950000\n")
    second.write_text("400000\n")
    assert meter.joules() == pytest.approx(0.35)
    first.write_text("200000\n")  # past 1,000,000 and on from 0
    assert meter.joules() == pytest.approx(0.35 + 0.25)
    first.write_text("100000\n")  # and once more
    assert meter.joules() == pytest.approx(0.6 + 0.9)
    meter.start()
    second.write_text("500000\n")
    assert meter.joules() == pytest.approx(0.1)


def test_without_counters_that_may_be_read_there_is_no_meter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Meter.open(tmp_path / "absent") is None
    zone(tmp_path, "intel-rapl:0:0", "dram", 5)
    assert Meter.open(tmp_path) is None
    forbidden = zone(tmp_path, "intel-rapl:0", "package-0", 5)
    assert Meter.open(tmp_path) is not None
    real = Path.read_text

    def read(self: Path, encoding: str | None = None) -> str:  # root may read what its mode forbids
        if self == forbidden:
            raise PermissionError(str(self))
        return real(self, encoding=encoding)

    monkeypatch.setattr(Path, "read_text", read)
    assert Meter.open(tmp_path) is None


@pytest.mark.parametrize("kind", [np.int8, np.float32])
def test_a_product_written_by_hand_is_valid_onnx_and_right(kind: type, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    limit = cpu.weight_limit(cpu.detect_target())
    weights = random.integers(-limit, limit + 1, (300, 40)).astype(kind)
    given = random.integers(0, 256, (5, 300)).astype(np.uint8 if kind is np.int8 else np.float32)
    path = tmp_path / "product.onnx"
    path.write_bytes(peak.product(weights, 5))
    onnx.checker.check_model(onnx.load(str(path)), full_check=True)
    (found,) = open_session(path, 1).run(["product"], {"given": given})
    expected = given.astype(np.int64) @ weights.astype(np.int64)
    assert found.dtype == (np.int32 if kind is np.int8 else np.float32)
    assert np.array_equal(found.astype(np.int64), expected)  # the floats are whole numbers below 2^24


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_reading_counts_every_byte_once_however_many_threads_share_them(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that moves by a millisecond a look: every read of a megabyte then takes one."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(bandwidth, "time", SimpleNamespace(perf_counter=lambda: next(ticks) / 1e3))
    monkeypatch.setattr(bandwidth, "SIZE_BYTES", 1_000_000)
    monkeypatch.setattr(bandwidth, "SECONDS", 0.02)
    read: list[int] = []
    real = np.array_split

    def split(array: np.ndarray, parts: int) -> list[np.ndarray]:
        found = real(array, parts)
        read.extend(part.nbytes for part in found)
        return found

    monkeypatch.setattr(np, "array_split", split)
    assert bandwidth.read_gb_s(threads) == pytest.approx(1e6 / 1e-3 / 1e9)
    assert (len(read), sum(read)) == (threads, 1_000_000)


def test_peaks_count_two_operations_a_multiply_accumulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves by a millisecond a look: every call then takes one."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(peak, "time", SimpleNamespace(perf_counter=lambda: next(ticks) / 1e3))
    for name, value in (("ROWS", 2), ("INNER", 100), ("COLUMNS", 50), ("SECONDS", 0.02)):
        monkeypatch.setattr(peak, name, value)
    monkeypatch.setattr(peak, "read_gb_s", lambda threads: 20.0 * threads)
    found = peak.measure(1, tmp_path)
    assert [found.int8_gops, found.fp32_gops] == pytest.approx([2 * 2 * 100 * 50 / 1e-3 / 1e9] * 2)
    assert found.read_gb_s == 20.0
    assert build_dataclass(Peak, vars(found), "peak") == found
