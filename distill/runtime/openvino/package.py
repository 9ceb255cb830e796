"""Imports OpenVINO without what reports its use to its makers."""

from __future__ import annotations

import sys
from typing import Any

from distill.core.extras import require


def import_openvino(user: str = "--runtime openvino", extra: str = "openvino") -> Any:
    """The package. Raises InstallError when it is missing, which names the `user` of it."""
    # Importing it sends something over the network, in a thread that would be timed with the rest, unless the
    # package that does so is missing.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    return require("openvino", user, extra)


def last_line(error: Exception) -> str:
    """The last line of an error's message, where OpenVINO and NNCF name the cause."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
