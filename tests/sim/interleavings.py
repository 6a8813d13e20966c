"""Production code of several workers on one disk, one call of the disk at a time, in an order that is data.

Each worker runs on a thread of its own, and stands still before each call by which it sees or changes a folder, until
it is its turn. So a schedule, a list of workers' numbers, replays exactly. ``every`` walks through all schedules;
``drawn`` through some, by seed.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from disk import Mount, SimulatedDisk

# What one worker does that another may see, or that depends on what another did.
VISIBLE = frozenset({"list_folder", "read", "open_new", "link", "rename", "remove"})

Work = Callable[[Mount], None]
Choose = Callable[[Sequence[int]], int]  # of those that are not done, whose turn it is


class _Worker:
    """A thread that stands still before each visible call."""

    def __init__(self, mount: Mount, work: Work) -> None:
        self.done = False
        self.failure: BaseException | None = None
        self._go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._mount = mount
        self._work = work
        mount.before = self._before
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._stands.acquire()

    def step(self) -> None:
        """Do one visible call, and all up to the next one."""
        self._go.release()
        self._stands.acquire()

    def end(self) -> None:
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _before(self, step: str, path: str) -> None:
        # That an unfinished claim is removed once it has its name changes nothing for anybody.
        if step in VISIBLE and not (step == "remove" and ".claim." in path):
            self._stands.release()
            self._go.acquire()

    def _run(self) -> None:
        try:
            self._work(self._mount)
        except BaseException as failure:  # noqa: BLE001 - handed to the test's own thread by end()
            self.failure = failure
        self.done = True
        self._stands.release()


def run(disk: SimulatedDisk, works: Sequence[Work], choose: Choose) -> list[int]:
    """Run workers to their ends and return the schedule. Raises what one of them raised."""
    workers = [_Worker(disk.mount(), work) for work in works]
    schedule = []
    while able := [number for number, worker in enumerate(workers) if not worker.done]:
        number = choose(able) if len(able) > 1 else able[0]
        schedule.append(number)
        workers[number].step()
    for worker in workers:
        worker.end()
    return schedule


@dataclass(slots=True)
class Schedule:
    """The turns that are to be taken, and those that could have been taken instead."""

    turns: list[int]
    choices: list[list[int]]
    taken: int = 0

    def choose(self, able: Sequence[int]) -> int:
        if self.taken == len(self.turns):
            self.turns.append(able[0])
            self.choices.append(list(able[1:]))
        self.taken += 1
        return self.turns[self.taken - 1]


def every() -> Iterator[Schedule]:
    """Yield one schedule after the other, until each was taken; each must be run before the next is asked for.

    Stateless search, depth first (Godefroid, "Model Checking for Programming Languages using VeriSoft", 1997).
    """
    schedule = Schedule([], [])
    while True:
        yield schedule
        turns, choices = schedule.turns, schedule.choices
        while choices and not choices[-1]:
            choices.pop()
            turns.pop()
        if not choices:
            return
        turns[-1] = choices[-1].pop(0)
        schedule = Schedule(turns, choices)


def drawn(seed: int) -> Choose:
    """Return the choices of a seed; half of the seeds let one worker stand still for long."""
    chance = random.Random(seed)
    stubborn = chance.random() < 0.5
    last = 0

    def choose(able: Sequence[int]) -> int:
        nonlocal last
        if not (stubborn and last in able and chance.random() < 0.8):
            last = chance.choice(able)
        return last

    return choose
