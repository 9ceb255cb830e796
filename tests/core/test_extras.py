"""The table of extras is pyproject.toml's, and a missing package is one line with the next step."""

from __future__ import annotations

import ast
import re
import sys

import pytest
from chain import ROOT

from distill.core import extras
from distill.core.arguments import translates_os_errors
from distill.core.errors import InstallError
from distill.core.settings.schema import read_toml

IMPORT_NAMES = {"scikit-learn": "sklearn", "mlflow-skinny": "mlflow"}  # where it is not the package's own


def test_the_table_is_that_of_pyproject() -> None:
    declared = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    del declared["dev"], declared["campaign"], declared["docs"]
    for extra, requirements in declared.items():
        packages = [re.split(r"[\[<>=;]", requirement)[0] for requirement in requirements]
        names = [IMPORT_NAMES.get(package, package.replace("-", "_")) for package in packages]
        assert list(extras.EXTRAS[extra]) == list(dict.fromkeys(names))
    assert set(extras.EXTRAS) == set(declared)


def test_whatever_is_imported_is_a_dependency_or_in_the_table() -> None:
    base = {"onnxruntime", "numpy", "PIL", "tokenizers", "click", "rich", "tomli"}
    brought = {"markupsafe", "pydantic", "starlette"}  # by jinja2 and fastapi, whose interfaces they are
    # It converts to LiteRT, and takes no torch that [train] does: docs/runtimes.md says how it is installed.
    brought |= {"litert_torch"}
    own = {"distill", "teacher", "student", "export", "bench"}
    known = base | brought | own | {package for packages in extras.EXTRAS.values() for package in packages}
    stray = {}
    for path in (path for name in own for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [str(node.module)]
            for package in {module.partition(".")[0] for module in modules} - known - sys.stdlib_module_names:
                stray[package] = str(path.relative_to(ROOT))
    assert stray == {}


def test_a_missing_package_is_an_install_error_in_python_too() -> None:
    @translates_os_errors
    def train_teacher() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    with pytest.raises(InstallError, match=r"^distill\.train_teacher needs torch; pip install 'distill\[train\]'$"):
        train_teacher()


def test_a_missing_package_is_one_line_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    for module in ("pyarrow", "pyarrow.parquet"):
        with pytest.raises(InstallError, match=r"^a\.parquet needs pyarrow; pip install 'distill\[parquet\]'$"):
            extras.require(module, "a.parquet")
    with pytest.raises(InstallError, match=r"^it needs pyarrow; pip install 'distill\[ray\]'$"):
        extras.require("pyarrow", "it", "ray")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not extras.can_plot()
    with pytest.raises(InstallError, match=r"^it needs matplotlib; pip install 'distill\[plots\]'$"):
        extras.require_extra("plots", "it")


def test_a_package_that_cannot_be_imported_says_why(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rapidocr.py").write_text("raise ImportError('libGL.so.1: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "rapidocr", raising=False)
    with pytest.raises(
        InstallError, match=r"^it needs rapidocr, which cannot be imported \(libGL.*\); pip install"
    ):
        extras.require("rapidocr", "it")
