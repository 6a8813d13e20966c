"""Counting by partition, compiled: one pass over the coordinates of a batch.

Shape letters: B events of a batch, of which J were accepted; S sources: topics times partitions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Int_B
from streamlearn.native import kernel

# ``Reason.ACCEPTED`` as a plain number: with the enum NumPy compares in ten times the time.
ACCEPTED_CODE = 0

# What stands in a row of the counts: events of any kind, accepted ones, those of them that have a label,
# and the largest event time of an accepted one, in microseconds (0 where there is none).
SEEN, ACCEPTED, LEARNED, TIME_US = 0, 1, 2, 3
COLUMNS = 4


@kernel
def count_sources(
    topic_B: npt.NDArray[np.int16],
    partition_B: npt.NDArray[np.int32],
    reason_B: npt.NDArray[np.uint8],
    time_us: Int_B,
    labelled_J: Bool_B,
    partitions: int,
    counts_S4: npt.NDArray[np.int64],
) -> int:
    """Set the counts of each source, in row ``topic * partitions + partition``.

    Returns 0; or, having counted nothing, how many partitions there have to be room for.
    """
    highest = -1
    for index in range(len(partition_B)):
        highest = max(highest, partition_B[index])
    if highest >= partitions:
        return highest + 1
    counts_S4[:] = 0
    accepted = 0
    for index in range(len(topic_B)):
        source = topic_B[index] * partitions + partition_B[index]
        counts_S4[source, SEEN] += 1
        if reason_B[index] != ACCEPTED_CODE:
            continue
        if counts_S4[source, ACCEPTED] == 0 or time_us[index] > counts_S4[source, TIME_US]:
            counts_S4[source, TIME_US] = time_us[index]
        counts_S4[source, ACCEPTED] += 1
        counts_S4[source, LEARNED] += int(labelled_J[accepted])
        accepted += 1
    return 0
