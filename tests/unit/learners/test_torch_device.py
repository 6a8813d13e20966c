"""What runs on a GPU without waiting for it: run here on the CPU by stand-ins, and on cuda where there is one.

Shape letters: B events.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from fake_graph import FakeGraphs
from torch.nn import functional
from torch_world import NUMERIC, VARIANTS, bits, digest, fed, make, stream

from streamlearn.config import Task, TorchModel
from streamlearn.contracts import Snapshot
from streamlearn.learners.torch_device import Behind
from streamlearn.learners.torch_mlp import Network
from streamlearn.learners.torch_pass import Pass
from streamlearn.learners.torch_tasks import Head

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no cuda device")

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
OUTPUTS = {"binary": 1, "multiclass": 4, "regression": 1}


# ---------------------------------------------------------------------------- the pass that is written out


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_gradient_is_the_one_that_autograd_finds(
    task: Task, hidden: tuple[int, ...], dropout: float
) -> None:
    settings = TorchModel(
        name="mlp", learner="torch", hidden=hidden, dropout=dropout, embedding_buckets=7, embedding_width=3
    )
    rows, generator = 33, torch.Generator().manual_seed(1)
    network = Network(settings, 5, 2, OUTPUTS[task], seed=0, device=CPU)
    head = Head(task, CPU)
    head.know(np.array([True, True, False, True]))
    both = Pass(network, head, rows)
    both.numeric_BN.normal_(generator=generator)
    both.bucket_BK.random_(0, 7, generator=generator)
    both.bucket_BK[:, 1] += 7
    both.target_B.copy_(
        torch.tensor([0, 1, 3, 1, 0][:: 1 if task == "multiclass" else 3]).repeat(rows)[:rows]
    )
    keep = []
    if dropout:
        both.draw(torch.Generator().manual_seed(2))
        again = torch.Generator().manual_seed(2)
        keep = [torch.empty(rows, w).bernoulli_(1 - dropout, generator=again) / (1 - dropout) for w in hidden]
    both.forward(slice(0, rows), dropped=dropout > 0)
    loss = both.backward()

    w = {name: parameter.clone().requires_grad_() for name, parameter in network.parameters.items()}
    h = torch.cat((both.numeric_BN, w["embedding"][both.bucket_BK].flatten(1)), 1)
    for number in range(len(hidden)):
        h = torch.relu(h @ w[f"hidden.{number}.weight"].T + w[f"hidden.{number}.bias"])
        h = h * keep[number] if keep else h
    z = h @ w["output.weight"].T + w["output.bias"]
    if task == "binary":
        expected = functional.binary_cross_entropy_with_logits(z[:, 0], both.target_B)
    elif task == "multiclass":
        z = z.masked_fill(torch.tensor([False, False, True, False]), -torch.inf)
        expected = functional.cross_entropy(z, both.target_B)
    else:
        expected = functional.mse_loss(z[:, 0], both.target_B)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    for name, gradient in network.gradients.items():
        torch.testing.assert_close(gradient, w[name].grad, msg=lambda text, name=name: f"{name}: {text}")


# ------------------------------------------------------------------------------------------------ graphs


@pytest.mark.parametrize("variant", VARIANTS)
def test_replay_equals_run_when_work_is_recorded_once_and_repeated(variant: str) -> None:
    settings = VARIANTS[variant]
    events = {"tall": 7000, "every_event": 100, "wide": 4500}.get(variant, 1200)
    examples = stream(events, settings["task"], labelled_share=0.9)
    graphs = FakeGraphs()
    eager, recorded = make(**settings), make(**settings, capture=graphs)
    for cuts in ([events], [events // 3]):
        assert fed(recorded, examples, cuts) == fed(eager, examples, cuts)
        assert digest(recorded.snapshot()) == digest(eager.snapshot())
    assert graphs.recorded > 1
    assert graphs.replayed > graphs.recorded
    # What was recorded reads the weights of before; a restore brings others.
    recorded.restore(eager.snapshot())
    assert fed(recorded, examples, [events]) == fed(eager, examples, [events])
    assert digest(recorded.snapshot()) == digest(eager.snapshot())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_recorded_step_that_is_not_finite_is_refused_by_the_device(optimizer: str) -> None:
    graphs = FakeGraphs()
    learner, examples = make(optimizer=optimizer, capture=graphs), stream(640)
    learner.predict_then_learn(examples)
    assert graphs.replayed > 0
    weights = learner._state.network.weights
    poisoned = weights[-1].item()
    weights[-1] = float("nan")
    before = {name: array for name, array in learner.snapshot().arrays.items() if "batch/" not in name}
    learner.predict_then_learn(examples.rows(0, 128))
    after = learner.snapshot().arrays
    for name in before:
        if name.startswith(("parameter/", "exp_avg", "optimizer_steps")):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert learner.batches_skipped == 2
    weights[-1] = poisoned
    learner.predict_then_learn(examples.rows(0, 128))
    assert learner.batches_skipped == 2
    assert (learner.snapshot().arrays["parameter/output.weight"] != after["parameter/output.weight"]).any()


# ---------------------------------------------------------------------------------------------- bfloat16


@pytest.mark.parametrize("task", TASKS)
def test_bfloat16_learns_what_float32_learns_and_replays_equal(task: Task) -> None:
    examples = stream(6000, task)
    exact, coarse = make(task, learning_rate=0.01), make(task, learning_rate=0.01, precision="bfloat16")
    assert (exact.describe()["precision"], coarse.describe()["precision"]) == ("float32", "bfloat16")
    theirs, ours = exact.predict_then_learn(examples), coarse.predict_then_learn(examples)
    late, target_B = slice(3000, None), examples.target_B[3000:]
    if task == "regression":
        assert theirs.value_B is not None
        assert ours.value_B is not None
        errors = [np.mean((value_B[late] - target_B) ** 2) for value_B in (ours.value_B, theirs.value_B)]
        assert errors[0] < 1.2 * errors[1]
    else:
        assert theirs.class_B is not None
        assert ours.class_B is not None
        assert np.mean(ours.class_B[late] == target_B) > np.mean(theirs.class_B[late] == target_B) - 0.03
    assert digest(coarse.snapshot()) != digest(exact.snapshot())
    for array in coarse.snapshot().arrays.values():
        assert array.dtype != np.float16
    parts = make(task, learning_rate=0.01, precision="bfloat16")
    assert fed(parts, examples, [70, 1, 500]) == bits(ours)
    assert digest(parts.snapshot()) == digest(coarse.snapshot())
    # A checkpoint goes on under another precision.
    exact.restore(coarse.snapshot())
    assert exact.events_learned == coarse.events_learned


# ------------------------------------------------------------------------------------------- read behind


def test_is_finite_late_tells_what_was_read_the_call_before() -> None:
    learner, examples = make(), stream(640)
    learner._finite = Behind(late=True)
    learner.predict_then_learn(examples.rows(0, 128))
    assert learner.is_finite()
    learner._state.network.weights[-1] = float("inf")
    learner.predict_then_learn(examples.rows(128, 256))
    assert learner.is_finite(), "of the reading before"
    assert not learner.is_finite(), "no step since: that reading is old by now"
    learner.predict_then_learn(examples.rows(256, 320))
    assert not learner.is_finite()


def test_is_finite_waits_for_the_truth_after_a_restore() -> None:
    learner = make()
    learner._finite = Behind(late=True)
    learner.predict_then_learn(stream(300))
    assert learner.is_finite()
    snapshot = learner.snapshot()
    ruined = {name: np.array(array) for name, array in snapshot.arrays.items()}
    ruined["parameter/output.bias"][0] = np.inf
    learner.restore(Snapshot(snapshot.data, ruined))
    assert not learner.is_finite()


# -------------------------------------------------------------------------------------------------- cuda


@contextmanager
def syncs_are_errors() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_cuda
@pytest.mark.parametrize("variant", VARIANTS)
def test_cuda_learns_what_the_cpu_learns(variant: str) -> None:
    settings: dict[str, Any] = {**VARIANTS[variant], "precision": "float32"}
    settings.pop("dropout", None)  # devices draw other units
    examples = stream(2500, settings["task"], labelled_share=0.9)
    here, there = make(**settings), make(**settings, device="cuda")
    ours, theirs = there.predict_then_learn(examples), here.predict_then_learn(examples)
    np.testing.assert_array_equal(ours.version_B, theirs.version_B)
    for mine, yours in ((ours.probability_BC, theirs.probability_BC), (ours.value_B, theirs.value_B)):
        if mine is not None and yours is not None:
            np.testing.assert_allclose(mine, yours, rtol=0.02, atol=0.02)
    assert there.batches_skipped == 0


@needs_cuda
def test_cuda_waits_for_nothing_but_the_answers() -> None:
    learner, examples = make(device="cuda", batch_events=512), stream(20_000)
    learner.predict_then_learn(examples)  # eager calls and captures are over
    with syncs_are_errors():
        for start in range(0, 20_000, 5_000):
            learner.predict_then_learn(examples.rows(start, start + 5_000))
    assert learner.is_finite()
    with syncs_are_errors():
        learner.predict_then_learn(examples)
        assert learner.is_finite()


@needs_cuda
def test_cuda_continues_from_a_checkpoint_of_the_cpu() -> None:
    here, there = make(), make(device="cuda")
    here.predict_then_learn(stream(1000))
    there.restore(here.snapshot())
    assert digest(there.snapshot()) == digest(here.snapshot())
    assert len(there.predict_then_learn(stream(1000, seed=5))) == 1000
    assert there._numeric == NUMERIC
