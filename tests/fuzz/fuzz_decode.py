"""The fuzz target over decode, a program: `make test-fuzz FUZZ_SECONDS=600`.

Two engines make messages, one after the other, each for half of the time. **atheris** lets libFuzzer change bytes, and
keeps what reaches new code in the exact route; **chance** draws documents as streams hold them, and breaks some.
Whatever they make is checked in batches (``decode_check.py``) through all routes at once, so it runs as fast as the
production code does. A batch that fails is written to a file, which is checked again alone by ``--again FILE``.

No hang: a batch that takes longer than ``HANG_SECONDS`` ends the program with a traceback. Bounded memory: what the
process holds at its peak may grow, once warm, by ``GROWTH_BYTES_MAX`` at most.
"""

from __future__ import annotations

import argparse
import base64
import faulthandler
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

BATCH = 256
CUT = 16  # messages of a batch that are decoded in two parts as well, cut elsewhere each time
HANG_SECONDS = 20.0  # a batch takes some hundredths of one
WARM_INPUTS = 20_000  # by then every contract has had its largest batch about twice
GROWTH_BYTES_MAX = 128 << 20
LARGE_BYTES = 200_000  # of the rare bomb; the messages of streams are far smaller


class Fuzz:
    """Takes messages one by one, checks them in batches, and counts."""

    def __init__(self, failures: Path) -> None:
        from decode_check import CONTRACTS, DecodeCheck

        self.failures = failures
        self._checks = [DecodeCheck(event, task) for event, task in CONTRACTS]
        self._waiting: list[list[bytes | None]] = [[] for _ in CONTRACTS]
        self._began = time.monotonic()
        self._warm_bytes: int | None = None
        self.inputs = 0
        self.nbytes = 0

    def add(self, contract: int, message: bytes | None) -> None:
        """Take a message of a contract, by its number; any number will do."""
        waiting = self._waiting[contract % len(self._waiting)]
        waiting.append(message)
        self.inputs += 1
        self.nbytes += len(message or b"")
        if len(waiting) >= BATCH:
            self._check(contract % len(self._waiting))
            if self._warm_bytes is None and self.inputs >= WARM_INPUTS:
                self._warm_bytes = peak_bytes()

    def finish(self) -> dict[str, Any]:
        """Check what waits, and return what was done. Raises AssertionError where memory grew."""
        for contract in range(len(self._checks)):
            self._check(contract)
        grown_bytes = 0 if self._warm_bytes is None else peak_bytes() - self._warm_bytes
        assert grown_bytes <= GROWTH_BYTES_MAX, f"{grown_bytes} bytes more than when it was warm"
        said: Counter[str] = Counter()
        for check in self._checks:
            said.update({reason.label: count for reason, count in check.said.items()})
        seconds = time.monotonic() - self._began
        return {
            "inputs": self.inputs,
            "bytes": self.nbytes,
            "seconds": round(seconds, 1),
            "inputs_per_second": round(self.inputs / seconds),
            "grown_bytes": grown_bytes,
            "said": dict(said.most_common()),
        }

    def check(self, contract: int, messages: list[bytes | None]) -> None:
        """Check one batch; a failure is written to a file first."""
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        try:
            self._checks[contract].check(messages)
            self._checks[contract].check_cut(messages[:CUT], self.inputs % CUT)
        except BaseException:
            # Whatever it was, the bytes that led to it are what matters.
            self.failures.mkdir(parents=True, exist_ok=True)
            path = self.failures / f"contract-{contract}-input-{self.inputs}.json"
            encoded = [None if each is None else base64.b64encode(each).decode() for each in messages]
            path.write_text(json.dumps({"contract": contract, "messages": encoded}))
            print(f"failed; to see it again: --again {path}", file=sys.stderr)
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _check(self, contract: int) -> None:
        messages, self._waiting[contract] = self._waiting[contract], []
        if messages:
            self.check(contract, messages)


def peak_bytes() -> int:
    """Return the most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def by_chance(fuzz: Fuzz, seed: int, seconds: float, inputs: int) -> None:
    """Draw messages until the time is over or there were so many."""
    from hostile_messages import WHITE_SPACE, grown, some_messages, some_value

    chance = random.Random(seed)
    until = time.monotonic() + seconds
    while time.monotonic() < until and fuzz.inputs < inputs:
        contract = chance.randrange(1000)
        for message in some_messages(chance, BATCH // 2):
            fuzz.add(contract, message)
        for _ in range(3):
            fuzz.add(contract, some_value(chance).encode())
        fuzz.add(contract, chance.choice(WHITE_SPACE).encode())
        large_bytes = chance.choice([100, 5000, 5000, LARGE_BYTES])
        fuzz.add(contract, grown(b'{"x":1,"c":"x"}', chance, large_bytes))


def by_atheris(fuzz: Fuzz, seed: int, seconds: float, inputs: int, report: Path) -> None:
    """Let libFuzzer make messages, led by what they reach; ends the process, with ``report`` written."""
    import atheris
    from hostile_messages import EVENTS, grown, mutated, some_messages

    from streamlearn.belt import decode_exact, decode_fields
    from streamlearn.belt.decode_fields import rules

    # What leads the search. The other routes are compiled, or are asked in batches.
    for function in (
        decode_exact.ExactDecoder.decode,
        decode_exact.ExactDecoder._unfit,
        decode_exact.ExactDecoder._no_object,
        decode_exact._why_no_document,
        decode_fields.real,
        decode_fields.category,
        decode_fields.id_token,
    ):
        atheris.instrument_func(function)
    exact = [decode_exact.ExactDecoder(rules(event, "binary"), event.message_bytes_max) for event in EVENTS]
    until = time.monotonic() + seconds

    def one(data: bytes) -> None:
        contract, message = data[:1], data[1:]
        number = contract[0] if contract else 0
        exact[number % len(exact)].decode(message)
        fuzz.add(number, message)
        if time.monotonic() >= until or fuzz.inputs >= inputs:
            report.write_text(json.dumps(fuzz.finish()))
            sys.stdout.flush()
            os._exit(0)  # libFuzzer never returns

    def mutate(data: bytes, bytes_max: int, draw: int) -> bytes:
        chance = random.Random(draw)
        match chance.randrange(8):
            case 0 | 1 | 2:
                changed: bytes = atheris.Mutate(data, bytes_max)
            case 3 | 4:
                changed = data[:1] + mutated(data[1:], chance)
            case 5 | 6:
                changed = chance.randbytes(1) + (some_messages(chance, 1)[0] or b"")
            case _:
                changed = data[:1] + grown(data[1:], chance, chance.choice([30, 300, bytes_max]))
        return changed[:bytes_max]

    options = {"seed": seed + 1, "max_len": 4096, "rss_limit_mb": 4096, "verbosity": 0}
    options |= {"timeout": round(HANG_SECONDS), "report_slow_units": round(HANG_SECONDS)}
    arguments = [f"-{name}={value}" for name, value in options.items()]
    # What libFuzzer leaves of an input that it ended at; it makes no folder.
    fuzz.failures.mkdir(parents=True, exist_ok=True)
    arguments.append(f"-artifact_prefix={fuzz.failures}{os.sep}")
    atheris.Setup([sys.argv[0], *arguments], one, custom_mutator=mutate)
    atheris.Fuzz()


def again(fuzz: Fuzz, path: Path) -> None:
    """Check the batch of a failure once more."""
    failure = json.loads(path.read_text())
    messages = [None if each is None else base64.b64decode(each) for each in failure["messages"]]
    fuzz.check(failure["contract"], messages)


def main() -> int:
    """Run one engine, or both in turn; print one JSON document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=("atheris", "chance", "both"), default="both")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--inputs", type=int, default=1 << 60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--again", type=Path)
    asked = parser.parse_args()
    if asked.again is not None:
        again(Fuzz(asked.failures), asked.again)
        return 0
    if asked.engine == "both":
        print(json.dumps({engine: _run_alone(engine, asked) for engine in ("atheris", "chance")}, indent=2))
        return 0
    fuzz = Fuzz(asked.failures)
    if asked.engine == "chance":
        by_chance(fuzz, asked.seed, asked.seconds, asked.inputs)
        print(json.dumps(fuzz.finish()))
        return 0
    by_atheris(fuzz, asked.seed, asked.seconds, asked.inputs, Path("/dev/stdout"))
    return 1


def _run_alone(engine: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Run an engine in a process of its own: libFuzzer ends the one that it runs in."""
    options = {
        "engine": engine,
        "seconds": asked.seconds / 2,
        "inputs": asked.inputs,
        "seed": asked.seed,
        "failures": asked.failures,
    }
    with tempfile.TemporaryFile() as out:
        subprocess.run(
            [sys.executable, __file__, *(f"--{name}={value}" for name, value in options.items())],
            stdout=out,
            check=True,
        )
        out.seek(0)
        done: dict[str, Any] = json.loads(out.read().splitlines()[-1])
    return done


if __name__ == "__main__":
    sys.exit(main())
