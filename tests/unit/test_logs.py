"""Log lines: to one stream, in one form, without secrets."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from streamlearn.logs import configure_logs, unconfigure_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    yield
    unconfigure_logs()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_auto_is_json_off_a_terminal_and_for_people_on_one() -> None:
    file, terminal = io.StringIO(), Terminal()
    configure_logs(stream=file).info("ready")
    configure_logs(stream=terminal).info("ready")
    assert lines(file)[0]["event"] == "ready"
    assert "\x1b[" in terminal.getvalue()
    assert "ready" in terminal.getvalue()


def test_a_line_is_one_json_object_with_its_fields() -> None:
    stream = io.StringIO()
    configure_logs("json", stream=stream).warning("broker_lost", detail="two\nlines", offset=3)
    (line,) = lines(stream)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "broker_lost", "level": "warning", "detail": "two\nlines", "offset": 3}


def test_debug_only_when_verbose() -> None:
    quiet, verbose = io.StringIO(), io.StringIO()
    configure_logs("json", stream=quiet).debug("checkpoint_published")
    configure_logs("json", verbose=True, stream=verbose).debug("checkpoint_published")
    assert quiet.getvalue() == ""
    assert lines(verbose)[0]["level"] == "debug"


def test_the_last_call_holds_and_lines_come_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logs("json", stream=first)
    configure_logs("json", stream=second).info("ready")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_masked_at_any_depth(log_format: str) -> None:
    stream = io.StringIO()
    log = configure_logs("json" if log_format == "json" else "console", stream=stream)
    log.info(
        "started",
        path="s3://user:hunter2@bucket/checkpoints",
        properties={"sasl.password": "hunter2", "ssl.key.password": "hunter2"},
        stores=["https://me:hunter2@host/x"],
        api_key="hunter2",
    )
    assert "hunter2" not in stream.getvalue()
    assert "bucket/checkpoints" in stream.getvalue()


def test_other_libraries_take_the_same_way() -> None:
    stream = io.StringIO()
    configure_logs("json", stream=stream)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").error("cannot read kafka://me:hunter2@host")
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert line["event"] == "cannot read kafka://**********@host"


def test_python_warnings_become_lines() -> None:
    stream = io.StringIO()
    configure_logs("json", stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # catch_warnings restores the standard way to show; captured ones take the logging way.
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old setting", DeprecationWarning, stacklevel=1)
    assert "old setting" in str(lines(stream)[0]["event"])


def test_a_traceback_shows_no_local_variables() -> None:
    for log_format in ("json", "console"):
        stream = io.StringIO()
        log = configure_logs("json" if log_format == "json" else "console", stream=stream)
        password_typed = "hunter" + str(2)
        try:
            raise RuntimeError(f"{len(password_typed)} letters")
        except RuntimeError:
            log.exception("failed")
        assert "RuntimeError: 7 letters" in stream.getvalue()
        assert "hunter2" not in stream.getvalue()


def test_stdout_is_never_written_to(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("json").error("failed")
    out, err = capfd.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "failed"
