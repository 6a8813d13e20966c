"""Event times in compiled code: what the rule reads, to the microsecond, and doubt of the rest."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from scanner_for_tests import check_scan

from streamlearn.config import Event

ISO = Event(time="at", numeric=("x",))
SCALES = {"epoch_seconds": 1, "epoch_milliseconds": 10**3, "epoch_microseconds": 10**6}


def taken(event: Event, values: list[str]) -> list[bool]:
    return [
        bool(took) for took in check_scan(event, "binary", [f'{{"at":{value}}}'.encode() for value in values])
    ]


def test_times_of_all_centuries_are_taken() -> None:
    chance = random.Random(1)
    first = datetime(1, 1, 2)
    seconds = int((datetime(9999, 12, 31) - first).total_seconds())
    values = []
    for _ in range(3000):
        moment = first + timedelta(seconds=chance.randrange(seconds), microseconds=chance.randrange(10**6))
        offset = chance.choice(["", "Z", "+05:30", "-00:00", "+23:59", "-23:59"])
        spec = chance.choice(["minutes", "seconds", "milliseconds", "microseconds"])
        values.append(json.dumps(moment.isoformat(chance.choice("T "), spec) + offset))
        values.append(json.dumps(moment.date().isoformat()))
    assert all(taken(ISO, values))


def test_each_day_around_the_ends_of_months() -> None:
    days = [f"{year:04}-{month:02}-{day:02}" for year in (1, 4, 1900, 2000, 2023, 2024, 9999) for month in range(14) for day in (0, 1, 28, 29, 30, 31, 32)]  # fmt: skip
    took = dict(zip(days, taken(ISO, [f'"{day}"' for day in days]), strict=True))
    for day, was_taken in took.items():
        assert was_taken is is_a_day(day), day


def is_a_day(day: str) -> bool:
    try:
        datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026", "2026-01", "20260131", "2026-W05-1", "2026-1-31", "2026-01-31T", "2026-01-31x00:00", "0000-01-01", "\uff12026-01-31"),
        *("2026-01-31T00", "2026-01-31T0:00", "2026-01-31T24:00", "2026-01-31T00:60", "2026-01-31T00:00:60", "2026-01-31T00:00:00."),
        *("2026-01-31T00:00:00.1234567", "2026-01-31T00:00:00,5", "2026-01-31T00:00:00z", "2026-01-31T00:00:00 Z", "2026-01-31T00:00:0"),
        *("2026-01-31T00:00:00+24:00", "2026-01-31T00:00:00+0530", "2026-01-31T00:00:00+05", "2026-01-31T00:00:00+05:60", "2026-01-31T00:00Zx"),
        *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999999-00:01", "2026-01-31T00:00:00-05:30:15", "+2026-01-31", "2026-01-31T-1:00"),
    ],
)  # fmt: skip
def test_other_spellings_are_left_to_the_library(text: str) -> None:
    assert taken(ISO, [json.dumps(text, ensure_ascii=False)]) == [False]


@pytest.mark.parametrize("time_format", SCALES)
def test_numbers_since_1970(time_format: str) -> None:
    event = Event(time="at", time_format=time_format, numeric=("x",))
    chance = random.Random(time_format)
    now = 1_800_000_000 * SCALES[time_format]
    values = [
        "0",
        "-0",
        "-0.0",
        "0.5",
        "1.5",
        "2.5",
        "-1.5",
        "1e3",
        "1.25e-5",
        str(now),
        f"{now}.0",
        f"-{now}",
    ]
    values += [repr(now * chance.random()) for _ in range(500)]
    values += [str(chance.randrange(-now, now)) for _ in range(500)]
    values += [f"{chance.randrange(now)}.{chance.randrange(1000)}" for _ in range(500)]
    assert all(taken(event, values))


@pytest.mark.parametrize("time_format", SCALES)
def test_numbers_at_and_beyond_the_ends_of_time(time_format: str) -> None:
    event = Event(time="at", time_format=time_format, numeric=("x",))
    scale = SCALES[time_format]
    last, first = 253_402_300_800 * scale, -62_135_596_800 * scale
    assert taken(event, [str(last - 1), str(first), f"{first}.0"]) == [True] * 3
    beyond = [
        str(last),
        f"{last}.0",
        str(first - 1),
        "1e300",
        "1e400",
        "9" * 19,
        "9" * 20,
        "true",
        '"1"',
        "null",
        "[]",
    ]
    assert not any(taken(event, beyond))
