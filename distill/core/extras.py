"""The optional packages: which extra of distill installs each, and the error when one is missing."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from distill.core.errors import InstallError

# Import names of the packages of every extra in pyproject.toml, except [dev], [campaign] and [docs].
EXTRAS = {
    "train": (
        *("torch", "torchvision", "transformers", "accelerate", "onnx", "onnxscript", "onnx_ir"),
        *("safetensors", "huggingface_hub", "jinja2", "sklearn", "scipy"),
    ),
    "peers": ("openvino", "nncf"),
    "openvino": ("openvino",),
    "litert": ("ai_edge_litert",),
    "optimum": ("optimum",),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "ocr": ("rapidocr",),
    "serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client"),
    "hub": ("huggingface_hub",),
    "heic": ("pillow_heif",),
    "parquet": ("pyarrow",),
    "ray": ("ray", "pyarrow"),
    "tune": ("optuna",),
    "static": ("model2vec", "skeletoken"),
    "plots": ("matplotlib", "jinja2"),
}


def require(module: str, user: str, extra: str | None = None) -> Any:
    """Import a module of an optional package that `user` needs. Raises InstallError: "USER needs PACKAGE; pip
    install 'distill[EXTRA]'". `extra` defaults to the first one with the package."""
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise _install_error(error, package, user, extra or extra_of(package)) from error


def explain_import_error(error: ImportError, user: str) -> InstallError | None:
    """The InstallError of a failed import, None unless it is one of an optional package."""
    package = (error.name or "").partition(".")[0]
    extra = extra_of(package)
    return None if extra is None else _install_error(error, package, user, extra)


def _install_error(error: ImportError, package: str, user: str, extra: str | None) -> InstallError:
    absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package
    reason = "" if absent else f", which cannot be imported ({error})"
    return InstallError(f"{user} needs {package}{reason}; {install_command(extra)}")


def require_extra(extra: str, user: str) -> None:
    """Import every package of an extra that `user` needs. Raises InstallError as `require` does."""
    for package in EXTRAS[extra]:
        require(package, user, extra)


def install_command(extra: str | None) -> str:
    """How to install an extra: pip install 'distill[EXTRA]'."""
    return f"pip install 'distill[{extra}]'"


def extra_of(package: str) -> str | None:
    """The first extra that has the package, None if there is none."""
    return next((extra for extra, packages in EXTRAS.items() if package in packages), None)


def can_plot() -> bool:
    """Whether the packages for plots are installed; a long run does not fail for want of a plot."""
    return all(find_spec(package) for package in EXTRAS["plots"])
