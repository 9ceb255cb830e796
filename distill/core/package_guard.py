"""Checks that teacher, student, export and bench, which have common names, are imported from distill itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from distill.core.errors import InstallError

MARK = b'PART_OF = "distill"'  # a line of each of our packages
HOME = Path(__file__).parents[2]  # the folder of the distill package and of ours


def require_own(*packages: str) -> None:
    """Raise InstallError if a package that would be imported as one of `packages` is not distill's own."""
    for package in packages:
        try:
            spec = find_spec(package)
        except ValueError:  # a module without a spec, which somebody made by hand, stands in sys.modules
            raise InstallError(f"sys.modules[{package!r}] is not distill's own package; remove it") from None
        if spec is None or spec.origin is None:
            raise InstallError(f"{HOME / package}: distill's own package is missing; install distill again")
        origin = Path(spec.origin)
        if origin.resolve() != (HOME / package / "__init__.py").resolve() or not _is_marked(origin):
            raise InstallError(
                f"{origin}: is imported as {package!r} in place of distill's own package; rename it or take its "
                "folder off PYTHONPATH"
            )


def _is_marked(path: Path) -> bool:
    return MARK in path.read_bytes().splitlines()
