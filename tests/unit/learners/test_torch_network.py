"""TorchLearner: what it learns, that cuts do not show, what a checkpoint of it holds.

Shape letters: B events, F numeric features.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch_world
from torch_world import NUMERIC, VARIANTS, bits, digest, fed, make, stream

from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused, LearnerError, LearnerOutOfMemory
from streamlearn.events import Examples, Features
from streamlearn.learners.torch_pass import Pass

# ----------------------------------------------------------------------------------- replay_equals_run

# Two steps at least, so that predictions by learned weights are compared.
EVENTS = {"tall": 2500, "every_event": 200}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("labelled_share", [1.0, 0.6])
def test_replay_equals_run_however_events_are_cut(variant: str, labelled_share: float) -> None:
    settings = VARIANTS[variant]
    examples = stream(EVENTS.get(variant, 1200), settings["task"], labelled_share=labelled_share)
    whole = make(**settings)
    said = fed(whole, examples, [len(examples)])
    assert whole.events_learned > 0
    for cuts in ([1], [7], [500], [63, 1, 1, 600, 511, 513, 2], [1024]):
        learner = make(**settings)
        assert fed(learner, examples, cuts) == said, cuts
        assert digest(learner.snapshot()) == digest(whole.snapshot()), cuts


@pytest.mark.parametrize("variant", VARIANTS)
def test_replay_equals_run_across_a_restore_anywhere(variant: str) -> None:
    settings = VARIANTS[variant]
    examples = stream(EVENTS.get(variant, 1200), settings["task"], labelled_share=0.8)
    whole = make(**settings)
    said = whole.predict_then_learn(examples)
    for at in (0, 1, 63, 160, len(examples) - 1):
        first = make(**settings)
        first.predict_then_learn(examples.rows(0, at))
        snapshot = first.snapshot()
        # What a checkpoint does to it: JSON, and arrays that nobody may write to.
        arrays = {name: np.array(array) for name, array in snapshot.arrays.items()}
        for array in arrays.values():
            array.flags.writeable = False
        second = make(**settings)
        second.predict_then_learn(stream(300, settings["task"], seed=99))
        second.restore(Snapshot(json.loads(json.dumps(snapshot.data)), arrays))
        assert digest(second.snapshot()) == digest(snapshot)
        assert bits(second.predict_then_learn(examples.rows(at, len(examples)))) == [
            column[at * (len(column) // len(examples)) :] for column in bits(said)
        ]
        assert digest(second.snapshot()) == digest(whole.snapshot())


def test_a_snapshot_is_not_moved_by_later_learning() -> None:
    learner, examples = make(), stream(1000)
    learner.predict_then_learn(examples.rows(0, 500))
    snapshot = learner.snapshot()
    before = digest(snapshot)
    learner.predict_then_learn(examples.rows(500, 1000))
    assert digest(snapshot) == before != digest(learner.snapshot())


def test_results_do_not_depend_on_the_global_generator_the_hash_seed_or_the_process() -> None:
    examples = stream(600)
    torch.manual_seed(1)
    drawn_before = torch.get_rng_state()
    learner = make(dropout=0.2)
    learner.predict_then_learn(examples)
    assert torch.equal(torch.get_rng_state(), drawn_before)
    program = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('again', {torch_world.__file__!r})\n"
        "again = importlib.util.module_from_spec(spec); spec.loader.exec_module(again)\n"
        "learner = again.make(dropout=0.2); learner.predict_then_learn(again.stream(600))\n"
        "print(again.digest(learner.snapshot()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == digest(learner.snapshot())


def test_models_of_another_name_or_seed_start_elsewhere() -> None:
    starts = {
        digest(Snapshot(arrays=make(**other).snapshot().arrays)) for other in ({}, {"name": "b"}, {"seed": 4})
    }
    assert len(starts) == 3


def test_each_call_runs_with_the_threads_of_its_model() -> None:
    learner = make(threads=1)
    torch.set_num_threads(2)
    learner.predict_then_learn(stream(10))
    assert torch.get_num_threads() == 1


# -------------------------------------------------------------------------------- predict_before_learn


def test_predict_before_learn_versions_count_complete_mini_batches_only() -> None:
    learner = make()
    said = learner.predict_then_learn(stream(200))
    assert said.version_B.tolist() == [0] * 64 + [64] * 64 + [128] * 64 + [192] * 8
    assert said.class_B is not None
    assert said.probability_BC is not None
    assert (said.class_B[:64] == -1).all()
    assert np.isnan(said.probability_BC[:64]).all()
    assert (said.class_B[64:] >= 0).all()
    np.testing.assert_allclose(said.probability_BC[64:].sum(axis=1), 1.0)
    assert learner.events_learned == 192
    assert learner.describe()["events_waiting"] == 8


def test_predict_before_learn_the_labels_of_waiting_events_do_not_show() -> None:
    examples, learner, other = stream(400), make(), make()
    turned_B = examples.target_B.copy()
    turned_B[320:] = 1 - turned_B[320:]
    turned = Examples(examples.features, turned_B, examples.labelled_B, examples.classes)
    first, second = learner.predict_then_learn(examples), other.predict_then_learn(turned)
    assert first.probability_BC is not None
    assert second.probability_BC is not None
    # Event 383 fills the mini-batch that holds the first turned label.
    np.testing.assert_array_equal(first.probability_BC[:384], second.probability_BC[:384])
    assert (first.probability_BC[384:] != second.probability_BC[384:]).any()


def test_unlabelled_events_are_predicted_and_not_learned() -> None:
    learner, examples = make(), stream(300)
    learner.predict_then_learn(examples.rows(0, 128))
    weights = learner.snapshot().arrays
    nothing = Examples(
        examples.features, examples.target_B, np.zeros(len(examples), np.bool_), examples.classes
    )
    said = learner.predict_then_learn(nothing.rows(128, 300))
    assert said.class_B is not None
    assert (said.class_B >= 0).all()
    assert learner.events_learned == 128
    for name, array in learner.snapshot().arrays.items():
        np.testing.assert_array_equal(array, weights[name])


def test_reads_are_pure_and_predict_says_what_predict_then_learn_says_next() -> None:
    for task in ("binary", "multiclass", "regression"):
        learner, examples = make(task), stream(1000, task, labelled_share=0.7)
        learner.predict_then_learn(examples.rows(0, 700))
        before = digest(learner.snapshot())
        ahead = learner.predict(examples.rows(700, 1000))
        learner.predict(examples.rows(0, 1000))
        learner.describe()
        assert digest(learner.snapshot()) == before
        room = learner._settings.batch_events - learner.describe()["events_waiting"]
        same = int(np.flatnonzero(np.cumsum(examples.labelled_B[700:]) == room)[0]) + 1
        said = learner.predict_then_learn(examples.rows(700, 700 + same))
        assert bits(said) == [column[: len(column) * same // 300] for column in bits(ahead)]


def test_no_events_are_no_predictions() -> None:
    learner = make()
    assert len(learner.predict_then_learn(stream(10).rows(0, 0))) == 0
    assert len(learner.predict(stream(10).rows(0, 0))) == 0
    assert learner.events_learned == 0


# --------------------------------------------------------------------------------------------- learning


def test_it_learns_a_nonlinear_binary_problem_better_than_the_majority() -> None:
    learner, examples = make(learning_rate=0.01), stream(12_000)
    said = learner.predict_then_learn(examples)
    assert said.class_B is not None
    late = slice(6000, None)
    majority = max(np.mean(examples.target_B[late]), 1 - np.mean(examples.target_B[late]))
    accuracy = np.mean(said.class_B[late] == examples.target_B[late])
    assert accuracy > majority + 0.15, (accuracy, majority)


def test_it_learns_a_regression_in_the_unit_of_its_target() -> None:
    learner, examples = make("regression", learning_rate=0.01), stream(12_000, "regression")
    said = learner.predict_then_learn(examples)
    assert said.class_B is None
    assert said.value_B is not None
    assert np.isnan(said.value_B[:64]).all()
    late = slice(6000, None)
    error = np.mean((said.value_B[late] - examples.target_B[late]) ** 2)
    assert error < 0.3 * np.var(examples.target_B[late])


def test_classes_are_known_once_a_mini_batch_with_them_is_complete() -> None:
    learner, examples = make("multiclass", learning_rate=0.01), stream(6000, "multiclass")
    said = learner.predict_then_learn(examples)
    assert said.probability_BC is not None
    assert said.class_B is not None
    known_BC = ~np.isnan(said.probability_BC)
    for start in range(64, 6000, 64):
        learned = set(examples.target_B[:start].tolist())
        rows = slice(start, start + 64)
        assert (known_BC[rows] == [c in learned for c in range(5)]).all()
        assert set(said.class_B[rows].tolist()) <= learned
    np.testing.assert_allclose(np.nansum(said.probability_BC[64:], axis=1), 1.0)
    assert learner.describe()["layers"] == [3 + 2 * 3, 16, 8, 5]
    late = slice(3000, None)
    counts = np.bincount(examples.target_B[late])
    assert np.mean(said.class_B[late] == examples.target_B[late]) > counts.max() / counts.sum() + 0.1


def test_a_class_that_was_skipped_over_has_no_share() -> None:
    examples = stream(200, "multiclass")
    target_B = np.where(np.arange(200) % 2, 0, 3).astype(np.int32)
    said = make("multiclass").predict_then_learn(
        Examples(examples.features, target_B, examples.labelled_B, examples.classes)
    )
    assert said.probability_BC is not None
    assert (np.isnan(said.probability_BC[64:]) == [False, True, True, False, True]).all()


def test_growth_keeps_weights_and_optimizer_state() -> None:
    learner, examples = make("multiclass"), stream(1000, "multiclass")
    learner.predict_then_learn(examples.rows(0, 320))
    network = learner._state.network
    outputs = network.outputs
    before = {
        kind: {name: part.clone() for name, part in network.named(flat).items()}
        for kind, flat in (("weights", network.weights), *network.optimizer.moments.items())
    }
    assert before["exp_avg_sq"]["embedding"].any()
    network.grow(outputs + 2)
    for kind, flat in (("weights", network.weights), *network.optimizer.moments.items()):
        for name, part in network.named(flat).items():
            old = before[kind][name]
            assert torch.equal(part[: len(old)], old), (kind, name)
            assert len(part) == len(old) + 2 * name.startswith("output."), (kind, name)
            assert kind == "weights" or not part[len(old) :].any(), (kind, name)
    # A new output does not depend on how many came with it.
    one_by_one = make("multiclass")._state.network
    at_once = make("multiclass")._state.network
    at_once.grow(3)
    for outputs in (1, 2, 3):
        one_by_one.grow(outputs)
    for name, parameter in at_once.parameters.items():
        assert torch.equal(parameter, one_by_one.parameters[name]), name


def test_one_class_alone_has_the_whole_share() -> None:
    examples = stream(100)
    same = Examples(examples.features, np.ones(100, np.int32), examples.labelled_B, examples.classes)
    said = make().predict_then_learn(same)
    assert said.probability_BC is not None
    assert said.class_B is not None
    np.testing.assert_array_equal(said.probability_BC[64:], [[np.nan, 1.0]] * 36)
    assert (said.class_B[64:] == 1).all()


# ---------------------------------------------------------------------------------------- refused steps


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_no_weight_and_is_counted(
    optimizer: str, poison: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, examples = make(optimizer=optimizer, weight_decay=0.1), stream(640)
    learner.predict_then_learn(examples.rows(0, 128))
    before = learner.snapshot().arrays
    true_backward = Pass.backward
    monkeypatch.setattr(Pass, "backward", lambda rows: true_backward(rows) * poison)
    learner.predict_then_learn(examples.rows(128, 256))
    after = learner.snapshot().arrays
    for name in before:
        if name.startswith(("parameter/", "exp_avg", "optimizer_steps")):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert learner.batches_skipped == 2
    assert learner.events_learned == 256
    monkeypatch.undo()
    learner.predict_then_learn(examples.rows(256, 640))
    facts = learner.describe()
    assert (facts["batches_learned"], facts["batches_skipped"]) == (8, 2)
    assert (learner.snapshot().arrays["parameter/output.weight"] != after["parameter/output.weight"]).any()


def test_gradients_are_clipped() -> None:
    examples = stream(64)
    moved = {}
    for norm_max in (1e-3, 1e3):
        learner = make(optimizer="sgd", learning_rate=1.0, gradient_norm_max=norm_max)
        before = learner.snapshot().arrays
        learner.predict_then_learn(examples)
        after = learner.snapshot().arrays
        moved[norm_max] = np.sqrt(
            sum(
                ((after[n] - before[n]).astype(np.float64) ** 2).sum()
                for n in before
                if n.startswith("parameter/")
            )
        )
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-3)
    assert moved[1e3] > 10 * moved[1e-3]


def test_the_step_is_the_step_of_plain_torch() -> None:
    examples = stream(64)
    learner = make(optimizer="adam", gradient_norm_max=0.05, learning_rate=0.01, weight_decay=0.01)
    start = {
        n: torch.from_numpy(a) for n, a in learner.snapshot().arrays.items() if n.startswith("parameter/")
    }
    w = {n.removeprefix("parameter/"): a.clone().requires_grad_() for n, a in start.items()}
    x_BF = examples.features.numeric_BF
    x = torch.from_numpy(((x_BF - x_BF.mean(0)) / x_BF.std(0)).astype(np.float32))
    bucket_BK = torch.from_numpy(learner._encode(examples).bucket_BK)
    h = torch.cat((x, w["embedding"][bucket_BK].flatten(1)), 1)
    for layer in ("hidden.0", "hidden.1"):
        h = torch.relu(h @ w[f"{layer}.weight"].T + w[f"{layer}.bias"])
    z = (h @ w["output.weight"].T + w["output.bias"])[:, 0]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        z, torch.from_numpy(examples.target_B.astype(np.float32))
    )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(w.values()), 0.05)
    torch.optim.Adam(list(w.values()), lr=0.01, weight_decay=0.01).step()
    learner.predict_then_learn(examples)
    for name, array in learner.snapshot().arrays.items():
        if name.startswith("parameter/"):
            wanted = w[name.removeprefix("parameter/")].detach().numpy()
            # Adam divides by the gradient's own size, so elements whose gradient is rounding noise may differ.
            np.testing.assert_allclose(array, wanted, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_finite_inputs_of_any_size_leave_the_state_finite(task: str) -> None:
    examples, learner = stream(640, task), make(task)
    numeric_BF = examples.features.numeric_BF.copy()
    numeric_BF[100] = 1.7e308
    numeric_BF[101] = -1.7e308
    numeric_BF[:, 2] = 4.0  # never varies, but for those two
    features = Features(NUMERIC, numeric_BF, examples.features.missing_BF, examples.features.categorical)
    said = learner.predict_then_learn(
        Examples(features, examples.target_B, examples.labelled_B, examples.classes)
    )
    assert learner.batches_skipped == 1
    for name, array in learner.snapshot().arrays.items():
        assert np.isfinite(array).all(), name
    if said.value_B is not None:
        assert np.isfinite(said.value_B[64:]).all()


def test_a_first_mini_batch_that_is_refused_teaches_nothing() -> None:
    examples = stream(200, "multiclass")
    numeric_BF = examples.features.numeric_BF.copy()
    numeric_BF[:2, 0] = (1.7e308, -1.7e308)
    features = Features(NUMERIC, numeric_BF, examples.features.missing_BF, examples.features.categorical)
    learner = make("multiclass")
    said = learner.predict_then_learn(
        Examples(features, examples.target_B, examples.labelled_B, examples.classes)
    )
    assert said.class_B is not None
    assert (said.class_B[:128] == -1).all()
    assert (said.class_B[128:] >= 0).all()
    assert said.version_B[127] == 64


# ---------------------------------------------------------------------------------- what cannot continue


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"hidden": (16, 9)}, "hidden"),
        ({"batch_events": 32}, "batch_events"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"seed": 9}, "seed"),
        ({"task": "regression"}, "task"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(other: dict[str, Any], named: str) -> None:
    learner, reader = make(), make(**other)
    learner.predict_then_learn(stream(100))
    before = digest(reader.snapshot())
    with pytest.raises(CheckpointRefused, match=named) as refused:
        reader.restore(learner.snapshot())
    assert "another name" in refused.value.remedy
    assert digest(reader.snapshot()) == before


def test_an_array_that_is_missing_misshapen_or_too_many_is_refused_and_nothing_is_changed() -> None:
    learner = make()
    learner.predict_then_learn(stream(100))
    snapshot = learner.snapshot()
    reader = make()
    before = digest(reader.snapshot())
    arrays = dict(snapshot.arrays)
    del arrays["parameter/hidden.1.bias"]
    cases = {
        "has no array": arrays,
        "of shape": {**snapshot.arrays, "parameter/output.weight": np.zeros((1, 9), np.float32)},
        "float64": {**snapshot.arrays, "parameter/output.bias": np.zeros(1)},
        "no place": {**snapshot.arrays, "surplus": np.zeros(1)},
    }
    for words, changed in cases.items():
        with pytest.raises(CheckpointRefused, match=words):
            reader.restore(Snapshot(snapshot.data, changed))
        assert digest(reader.snapshot()) == before
    with pytest.raises(CheckpointRefused, match="not written by the torch learner"):
        reader.restore(Snapshot())


def test_learning_rate_and_dropout_may_change_between_runs() -> None:
    learner = make()
    learner.predict_then_learn(stream(100))
    reader = make(learning_rate=0.1, dropout=0.5)
    reader.restore(learner.snapshot())
    assert reader.events_learned == 64


def test_cuda_that_is_asked_for_and_absent_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LearnerError, match="cuda") as error:
        make(device="cuda")
    assert "auto" in error.value.remedy
    assert make(device="auto").describe()["device"] == "cpu"


# ----------------------------------------------------------------------------------- no room on the device


def short_of_memory(monkeypatch: pytest.MonkeyPatch, rows_max: int) -> list[int]:
    """Have the network fail as cuda does on more rows than these; return the rows that were tried."""
    forward, tried = Pass.forward, []

    def limited(self: Pass, rows: slice, **named: Any) -> None:
        tried.append(len(range(self.rows)[rows]))
        if tried[-1] > rows_max:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
        forward(self, rows, **named)

    monkeypatch.setattr(Pass, "forward", limited)
    return tried


@pytest.mark.parametrize("variant", ["binary", "multiclass", "regression", "sgd", "linear", "tall"])
@pytest.mark.parametrize("rows_max", [1, 9, 40])
def test_learned_once_a_mini_batch_that_does_not_fit_is_one_step_of_parts(
    variant: str, rows_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = VARIANTS[variant]
    examples = stream(600 if variant != "tall" else 1300, settings["task"])
    roomy, short, again = make(**settings), make(**settings), make(**settings)
    expected = roomy.predict_then_learn(examples)
    with monkeypatch.context() as patched:
        tried = short_of_memory(patched, rows_max)
        predictions = short.predict_then_learn(examples)
        assert bits(again.predict_then_learn(examples)) == bits(predictions)
        assert max(tried) > rows_max
    assert digest(again.snapshot()) == digest(short.snapshot()), "the same parts, the same bits"
    assert short.events_learned == roomy.events_learned > 0
    assert short.batches_skipped == 0
    np.testing.assert_array_equal(predictions.version_B, expected.version_B)
    theirs = roomy.snapshot().arrays
    for name, ours in short.snapshot().arrays.items():
        np.testing.assert_allclose(ours, theirs[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_dropped_units_of_parts_are_drawn_from_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, examples = VARIANTS["dropout"], stream(300)
    short_of_memory(monkeypatch, 10)
    one, other = make(**settings), make(**settings)
    assert fed(one, examples, [300]) == fed(other, examples, [7])
    assert digest(one.snapshot()) == digest(other.snapshot())


def test_an_event_that_does_not_fit_stops_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, examples = make(), stream(300)
    learner.predict_then_learn(examples.rows(0, 200))
    short_of_memory(monkeypatch, 0)
    for call in (learner.predict, learner.predict_then_learn):
        with pytest.raises(LearnerOutOfMemory, match="CUDA out of memory") as raised:
            call(examples.rows(200, 300))
        assert "nvidia-smi" in raised.value.remedy


def test_a_gradient_that_does_not_fit_for_a_single_event_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Pass, "backward", refuse)
    with pytest.raises(LearnerOutOfMemory, match="a single event's gradient"):
        make().predict_then_learn(stream(300))


# --------------------------------------------------------------------------------------- is it finite


def test_it_is_finite_until_its_weights_are_not() -> None:
    learner = make()
    assert learner.is_finite()
    learner.predict_then_learn(stream(300))
    assert learner.is_finite()
    snapshot = learner.snapshot()
    ruined = {name: np.array(array) for name, array in snapshot.arrays.items()}
    ruined["parameter/output.bias"][0] = np.inf
    learner.restore(Snapshot(snapshot.data, ruined))
    assert not learner.is_finite()
    learner.restore(snapshot)
    assert learner.is_finite()
