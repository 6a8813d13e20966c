"""What the Dockerfile says without being built; tests/integration/test_image.py builds it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", DOCKERFILE)).splitlines()


def test_the_image_ends_as_a_user_without_rights() -> None:
    users = [line.split()[1] for line in INSTRUCTIONS if line.startswith("USER ")]
    assert users
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[-1]), "by number, and not root"
    assert INSTRUCTIONS.index(f"USER {users[-1]}") > max(
        index for index, line in enumerate(INSTRUCTIONS) if line.startswith(("RUN ", "COPY "))
    )


def test_signals_reach_the_daemon() -> None:
    assert 'ENTRYPOINT ["streamlearn"]' in INSTRUCTIONS, "a shell would not pass SIGTERM on"
    assert "STOPSIGNAL SIGTERM" in INSTRUCTIONS


def test_the_health_check_fails_where_nobody_answers(tmp_path: Path) -> None:
    (check,) = (line for line in INSTRUCTIONS if line.startswith("HEALTHCHECK "))
    command = json.loads(check[check.index("CMD ") + 4 :])
    assert command[0] == "python3"
    assert "'/healthz'" in command[-1]
    # Port 1 in place of the daemon's: nobody listens there.
    asked = subprocess.run(
        [*command[:-1], command[-1].replace("9464", "1")],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert asked.returncode == 1
    assert b"ConnectionRefusedError" in asked.stderr


def test_all_stages_stand_on_the_chosen_base() -> None:
    assert [line for line in INSTRUCTIONS if line.startswith("FROM ")] == [
        "FROM ${BASE_IMAGE} AS dependencies",
        "FROM dependencies AS package",
        "FROM ${BASE_IMAGE}",
    ]
    assert "constraints.txt" in DOCKERFILE


def test_nothing_but_the_package_goes_into_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    admitted = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {
        source
        for line in INSTRUCTIONS
        if line.startswith("COPY ") and "--from=" not in line
        for source in line.split()[1:-1]
    }
    assert admitted == copied
    assert all((ROOT / name).exists() for name in admitted)


def test_no_file_names_a_package_index() -> None:
    files = [
        *DOCKER.glob("Dockerfile"),
        *DOCKER.glob("*.yaml"),
        ROOT / "docs" / "stack.md",
        ROOT / "constraints.txt",
    ]
    for file in files:
        assert not re.search(r"https?://(?!127\.0\.0\.1|localhost)", file.read_text(encoding="utf-8")), file
