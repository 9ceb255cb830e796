"""Fetches onnxruntime-web from npm once, checks it, and unpacks the files that a page needs."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

from distill.core.errors import ExportError
from distill.core.output.terminal import note
from distill.core.storage.cache import cache_folder, writable
from distill.core.storage.files import scratch_folder, write_bytes
from distill.core.storage.inputs import read_input

PACKAGE = "onnxruntime-web@1.30.0"
# As npm publishes it: `npm view onnxruntime-web@1.30.0 dist.integrity`.
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
MAX_BYTES = 1 << 26  # the package has half of that
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
TIMEOUT_S = 600  # for 33 MB
LICENCE = """MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def load_runtime(package: Path | None) -> dict[str, bytes]:
    """The files that a page needs, by name: from this package, else from the cache or npm. Raises ExportError."""
    if package is not None:
        return _unpack(package)
    cached = cache_folder() / f"{PACKAGE.replace('@', '-')}.tgz"
    if not cached.is_file():
        cached = writable(cached)
        _fetch(cached)
    try:
        return _unpack(cached)
    except ExportError:
        with suppress(OSError):
            cached.unlink()  # so that the next call fetches it again
        raise


def _unpack(package: Path) -> dict[str, bytes]:
    """FILES from a package with the right checksum. Raises ExportError."""
    content = read_input(package, MAX_BYTES, ExportError, links=False)
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != SHA512:
        raise ExportError(f"{package}: is not {PACKAGE} as npm publishes it; get it with: npm pack {PACKAGE}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = {name: archive.extractfile(f"package/dist/{name}") for name in FILES}
        return {name: member.read() for name, member in members.items() if member is not None}


def _fetch(out: Path) -> None:
    npm = shutil.which("npm")
    next_step = f"run `npm pack {PACKAGE}` on a machine that has npm and a network, and give the file as --ort-web"
    if npm is None:
        raise ExportError(f"--web needs {PACKAGE}, and there is no npm here; {next_step}")
    note(f"fetching {PACKAGE} with npm, once")
    with scratch_folder(out) as work:
        command = [npm, "pack", PACKAGE, "--pack-destination", str(work), "--cache", str(work / "npm"), "--silent"]
        try:
            process = subprocess.run(command, cwd=work, capture_output=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"npm did not fetch {PACKAGE} within {TIMEOUT_S} s; {next_step}") from error
        packages = list(work.glob("*.tgz"))
        if process.returncode != 0 or len(packages) != 1:
            lines = process.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
            raise ExportError(f"npm cannot fetch {PACKAGE} ({lines[-1]}); {next_step}")
        write_bytes(out, packages[0].read_bytes())
