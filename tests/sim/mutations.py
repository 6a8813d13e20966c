"""Takes one safeguard at a time out of the checkpoint code, and shows which test of the simulated disk then fails.

Every fsync of ``places.py`` is found by itself; fences and checksums are named here by their text. A text that is no
longer in the code is an error, so that this list cannot rot.

    python tests/sim/mutations.py        prints the table
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import checkpoint_script
import checkpoint_world
import fence_world
import pytest
import segment_world
from checkpoint_world import Code, state
from interleavings import drawn, every

import streamlearn.checkpoints
from streamlearn.checkpoints.names import Version
from streamlearn.errors import CheckpointFenced

PACKAGE = "streamlearn.checkpoints"
FOLDER = Path(streamlearn.checkpoints.__path__[0])
# In the order in which they import each other: all are made anew around a mutated one.
MODULES = ("places", "claims", "segments", "stores", "format", "keeper")

POWER_LOSS_SEEDS = 1500
FENCE_SEEDS = 400
SEGMENT_SEEDS = 60


@dataclass(frozen=True, slots=True)
class Mutation:
    """Texts of one module, each of which stands there once, and what is put in their place."""

    name: str
    module: str
    changes: tuple[tuple[str, str], ...]
    suites: tuple[str, ...] = ("stories", "segments", "power loss")  # which may notice it

    def apply(self, source: str) -> str:
        for old, new in self.changes:
            assert source.count(old) == 1, (
                f"{self.name}: {self.module}.py has this {source.count(old)}x: {old}"
            )
            source = source.replace(old, new)
        return source


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which suite failed with a mutant, and what it said; ``suite`` is None where all passed."""

    suite: str | None
    said: str


def fsyncs() -> Iterator[Mutation]:
    """Yield a mutation for each statement that waits for the disk."""
    source = (FOLDER / "places.py").read_text()
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            callee = ast.unparse(node.value.func)
            if callee in ("self._disk.sync", "self._disk.sync_folder"):
                # Enough of what stands before it to tell it from the others.
                old = "".join(lines[node.lineno - 3 : node.lineno])
                new = "".join(lines[node.lineno - 3 : node.lineno - 1]) + " " * node.col_offset + "pass\n"
                yield Mutation(f"no {ast.unparse(node)}, line {node.lineno}", "places", ((old, new),))


BY_FENCES = (
    "stories",
    "object store",
    "slow claimer",
    "drawn interleavings",
    "every interleaving",
    "power loss",
)
FENCES = (
    Mutation(
        "no look before a checkpoint gets its name",
        "places",
        (("                # Step 3.\n                before_visible()\n", ""),),
    ),
    Mutation(
        "the look comes before the unfinished file",
        "places",
        (
            ("                # Step 3.\n                before_visible()\n", ""),
            ("                # Step 2.\n", "                before_visible()\n"),
        ),
    ),
    Mutation(
        "no look before a checkpoint goes to an object store",
        "places",
        (("            before_visible()\n            self._filesystem", "            self._filesystem"),),
    ),
    Mutation(
        "a newer claim is not looked for", "claims", (("        if newest != epoch:", "        if False:"),)
    ),
    Mutation(
        "whose claim it is is not looked at",
        "claims",
        (('.decode(errors="replace")) != self._maker.decode():', '.decode(errors="replace")) is None:'),),
    ),
    Mutation(
        "a released claim is not looked at",
        "claims",
        (("        if self.held(shard) != epoch:", "        if False:"),),
    ),
    Mutation(
        "a claimer leaves unfinished files",
        "claims",
        (("self._place.discard_unfinished(folder, functools.partial(_is_stale, epoch))", "pass"),),
    ),
    Mutation(
        "a claimer discards what newer owners write",
        "claims",
        (("if version is None else version.epoch < epoch", "if version is None else True"),),
    ),
    Mutation(
        "a name that is taken is replaced",
        "places",
        (("self._disk.link(unfinished, path)", "self._disk.rename(unfinished, path)"),),
    ),
    Mutation(
        "a claim is not looked at again once it is made",
        "claims",
        (
            (
                "return self._newest(folder) == epoch and self._maker_of(folder, epoch) == self._maker",
                "return True",
            ),
        ),
    ),
)

CHECKSUMS = (
    Mutation(
        "no checksum of the header",
        "format",
        (
            (
                '    _verify(_sha256(view[: end + 32]) == checksum, "the checksum of its header does not match")\n',
                "",
            ),
        ),
    ),
    Mutation(
        "no checksum of the sections",
        "format",
        (("        _verify(_sha256(content).hex() == section.sha256, what)\n", ""),),
    ),
    Mutation(
        "no look at the signature",
        "format",
        (("        _refuse_unsigned(view[:end], signature, key)\n", "        pass\n"),),
    ),
    Mutation("two damaged files in a row are passed over", "stores", (("if len(bad) > 1:", "if False:"),)),
    Mutation(
        "a failed fsync is tried again",
        "places",
        (
            (
                "            if sync:\n                self._disk.sync(file)  # waits for the disk\n",
                "            try:\n                self._disk.sync(file)\n"
                "            except OSError:\n                self._disk.sync(file)\n",
            ),
        ),
    ),
)


def mutations() -> list[Mutation]:
    return [*fsyncs(), *(replace(each, suites=BY_FENCES) for each in FENCES), *CHECKSUMS]


def mutant(mutation: Mutation | None) -> Code:
    """Return the checkpoint code with a mutation, made anew beside the one that is imported."""
    fresh: dict[str, types.ModuleType] = {}
    with mock.patch.dict(sys.modules):
        for name in MODULES:
            source = (FOLDER / f"{name}.py").read_text()
            if mutation is not None and name == mutation.module:
                source = mutation.apply(source)
            module = types.ModuleType(f"{PACKAGE}.{name}")
            module.__file__ = str(FOLDER / f"{name}.py")
            sys.modules[module.__name__] = fresh[name] = module
            exec(compile(source, module.__file__, "exec"), vars(module))
        # Its structs look their types up by the module's name, when they are first used.
        fresh["format"].encode(state(1, 1))
    return Code(fresh["stores"].open_store, fresh["keeper"].CheckpointKeeper)


def stories(code: Code) -> None:
    for script in checkpoint_script.stories():
        checkpoint_world.run(script, code)


def power_loss(code: Code) -> None:
    for seed in range(POWER_LOSS_SEEDS):
        checkpoint_world.run(checkpoint_script.script_of(seed), code)


def segments(code: Code) -> None:
    for seed in range(SEGMENT_SEEDS):
        segment_world.run(seed, code)


def object_store(code: Code) -> None:
    """There is no disk to simulate; what is looked at, and when, is the same in every store."""
    url = f"memory://mutant-{id(code)}"
    older, newer = code.open_store(url, "flights"), code.open_store(url, "flights")
    epoch = older.claim("flights")
    newer.claim("flights")
    with pytest.raises(CheckpointFenced):
        older.publish("flights", Version(epoch, 1), [b"late"])


def every_interleaving(code: Code) -> None:
    for schedule in every():
        fence_world.one_late(code, schedule.choose)


def drawn_interleavings(code: Code) -> None:
    for seed in range(FENCE_SEEDS):
        fence_world.many(code, drawn(seed))


SUITES: dict[str, Callable[[Code], object]] = {
    "stories": stories,
    "segments": segments,
    "object store": object_store,
    "slow claimer": fence_world.one_slow,
    "drawn interleavings": drawn_interleavings,
    "every interleaving": every_interleaving,
    "power loss": power_loss,
}


def judge(mutation: Mutation) -> Verdict:
    """Run the suites over a mutant until one fails."""
    code = mutant(mutation)
    for name in mutation.suites:
        try:
            SUITES[name](code)
        except (Exception, pytest.fail.Exception) as failure:  # noqa: BLE001 - a mutant may fail in any way
            return Verdict(name, str(failure).splitlines()[0] if str(failure) else repr(failure))
    return Verdict(None, "")


if __name__ == "__main__":
    for each in mutations():
        verdict = judge(each)
        print(f"{each.name:60} {verdict.suite or 'SURVIVED':20} {verdict.said[:140]}")
