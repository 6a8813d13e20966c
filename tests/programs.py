"""Programs that some tests need and that do not come by pip."""

from __future__ import annotations

import os
import shutil
import warnings

import pytest


def program(name: str, package: str) -> str:
    """Return the path of a program; without it the test that asks is skipped, and fails where ``CI=true``.

    A skip is told loudly: as a warning in the summary of the run. ``package``: Debian's, which has it.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    reason = f"{name} is missing (Debian: apt-get install {package})"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{reason}, and CI=true", pytrace=False)
    warnings.warn(pytest.PytestWarning(f"NOT TESTED: {reason}"), stacklevel=2)
    pytest.skip(reason)
