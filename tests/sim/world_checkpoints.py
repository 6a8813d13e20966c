"""The checkpoints that are on the simulated disk, read once each, and judged when they appear."""

from __future__ import annotations

import random
from collections.abc import Callable

from disk import Mount, SimulatedDisk

from streamlearn.checkpoints.disk import Listed
from streamlearn.checkpoints.format import decode
from streamlearn.checkpoints.names import Version, folder_name, version_of
from streamlearn.contracts import ShardState
from streamlearn.errors import CheckpointCorrupt

FOLDER = "/data"


class Checkpoints:
    """What a look into the folder shows.

    ``judge`` is given each checkpoint once, with its path. While ``is_busy``, a change that was announced may not
    be done yet.
    """

    def __init__(
        self,
        disk: SimulatedDisk,
        stream: str,
        judge: Callable[[str, ShardState], None],
        is_busy: Callable[[], bool],
    ) -> None:
        self._disk = disk
        self._stream = stream
        self._judge = judge
        self._is_busy = is_busy
        self._changed = False
        self._seen: dict[str, dict[Version, tuple[str, ShardState]]] = {}
        self._known: dict[tuple[str, float], ShardState | None] = {}  # by path and time
        self.flipped = False

    def have_changed(self) -> None:
        """Look again, the next time."""
        self._changed = True

    def states(self) -> dict[str, dict[Version, tuple[str, ShardState]]]:
        """All checkpoints that can be read, as they were when they appeared, by shard and version."""
        if not self._changed:
            return self._seen
        # In the middle of a worker's step a change may have been announced that is not done yet.
        self._changed = self._is_busy()
        self._seen = self._look()
        return self._seen

    def _look(self) -> dict[str, dict[Version, tuple[str, ShardState]]]:
        found: dict[str, dict[Version, tuple[str, ShardState]]] = {}
        eyes = self._disk.mount()  # a fresh one: those before lost power with everybody else
        root = f"{FOLDER}/{folder_name(self._stream)}"
        for folder in self._listed(eyes, root):
            for each in self._listed(eyes, f"{root}/{folder.name}"):
                version = version_of(each.name)
                if version is None:
                    continue
                path = f"{root}/{folder.name}/{each.name}"
                if (path, each.written_at) not in self._known:
                    self._known[path, each.written_at] = self._judged(path, eyes.read(path))
                state = self._known[path, each.written_at]
                if state is not None:
                    assert folder.name == folder_name(state.shard)
                    found.setdefault(state.shard, {})[version] = (path, state)
        return found

    @staticmethod
    def _listed(eyes: Mount, folder: str) -> list[Listed]:
        try:
            return eyes.list_folder(folder)
        except FileNotFoundError:
            return []

    def _judged(self, path: str, content: bytes) -> ShardState | None:
        try:
            state = decode(content)
        except CheckpointCorrupt:
            assert self.flipped, f"old_or_new: {path} does not verify"
            return None
        self._judge(path, state)
        return state

    def newest(self) -> dict[str, ShardState]:
        return {shard: states[max(states)][1] for shard, states in self.states().items()}

    def flip_bit(self, chance: random.Random) -> None:
        """Once a world: two bad ones in a row are a sick disk, and stop the daemon, rightly."""
        paths = [states[max(states)][0] for states in self.states().values() if len(states) > 1]
        if paths and not self.flipped:
            self.flipped = True
            self._disk.flip_bit(chance.choice(sorted(paths)))
