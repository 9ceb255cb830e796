"""What an installation brings: pinned, with a known licence, and no torch on a device."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from experiments import licences
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
ON_A_GPU = re.compile("nvidia|cuda|triton|nvshmem")  # PyTorch's wheels name their exact versions themselves
TRAINING = {"torch", "torchvision", "transformers", "onnx", "optimum", "accelerate", "scikit-learn", "matplotlib"}


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(";")[0].split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version.strip() for name, version in pairs}


def test_the_base_install_brings_no_torch_and_nothing_that_trains() -> None:
    brought = set(licences.closure(""))
    assert {"onnxruntime", "numpy", "pillow", "tokenizers", "click", "rich"} <= brought
    assert not brought & TRAINING


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="constraints.txt pins for Python 3.11")
def test_every_package_is_pinned_to_the_version_that_is_tested() -> None:
    pins, missing = pinned(), {}
    site = ("docs",) if find_spec("zensical") else ()
    for extra in (*licences.EXTRAS, "dev", *site):
        for name, package in licences.closure(extra).items():
            if not ON_A_GPU.search(name) and pins.get(name) != package.version:
                missing[name] = (pins.get(name), package.version)
    assert missing == {}


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or sys.platform != "linux", reason="the page is that of Python 3.11 on Linux"
)
def test_the_page_of_licences_names_every_package_that_is_installed() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    for extra in licences.EXTRAS:
        for name, package in licences.closure(extra).items():
            if not ON_A_GPU.search(name):  # a CPU's wheels bring none of these
                assert f"| {name} | {package.version} | {licences.licence(package)} |" in page


def test_no_package_of_the_base_install_is_without_a_licence_or_under_the_gpl() -> None:
    said = {name: licences.licence(package) for name, package in licences.closure("").items()}
    assert [name for name, text in said.items() if text == "not said" or "GPL" in text] == []
