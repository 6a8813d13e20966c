"""``[[models]]``: what learns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from streamlearn.config.base import Name, PositiveInt, Section

IMPORT_PATH_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


class Model(Section):
    name: Name = Field(description="Names the model in metrics, predictions and checkpoints.")


class RiverModel(Model):
    learner: Literal["river"] = Field(description="A model or pipeline of River.")
    pipeline: tuple[str | dict[str, Any], ...] = Field(
        min_length=1,
        description='Steps by import path below `river`: `"preprocessing.StandardScaler"` or '
        '`{ use = "linear_model.LogisticRegression", l2 = 1e-4 }`; an argument may be such a table again.',
    )
    engine: Literal["auto", "river", "compiled"] = Field(
        default="auto",
        description="What runs the pipeline: River itself, or kernels compiled from it with the same numbers "
        "(to 1e-9) at some fifty times the speed. `auto`: compiled where it can be "
        "(`streamlearn check` says why not).",
    )
    missing_indicator: bool = Field(
        default=False, description="Adds a 0/1 feature `<name>_missing` for each numeric feature."
    )


class TorchModel(Model):
    learner: Literal["torch"] = Field(description="A mini-batch network in PyTorch.")
    hidden: tuple[PositiveInt, ...] = Field(default=(128, 64), description="Width of each hidden layer.")
    batch_events: int = Field(default=512, ge=1, le=65_536, description="Events of one optimizer step.")
    optimizer: Literal["adam", "adamw", "sgd"] = Field(default="adam", description="Optimizer.")
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="Step size.")
    weight_decay: float = Field(default=0.0, ge=0, description="L2 penalty of the optimizer.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of hidden units dropped in training.")
    gradient_norm_max: float = Field(default=1.0, gt=0, description="Gradients are clipped to this norm.")
    embedding_buckets: int = Field(
        default=4096, ge=2, le=16_777_216, description="Hash buckets of each categorical feature."
    )
    embedding_width: int = Field(default=8, ge=1, le=1024, description="Width of each embedding.")
    missing_indicator: bool = Field(
        default=False, description="Adds a 0/1 input for each numeric feature that was missing."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto`: cuda when there is one."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Of matrix products; weights are float32 always. `auto`: bfloat16 on a cuda device that has it, else float32.",
    )
    threads: int = Field(
        default=1, ge=1, le=256, description="CPU threads of torch; another number may change last bits."
    )


class PythonModel(Model):
    learner: Literal["python"] = Field(description="Your own factory.")
    factory: str = Field(
        pattern=IMPORT_PATH_PATTERN,
        description="`package.module:make`, called with `arguments`; returns an object with River's interface.",
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the factory.")
    admit: tuple[Annotated[str, Field(pattern=IMPORT_PATH_PATTERN)], ...] = Field(
        default=(),
        description="Classes, as `package.module:Class`, that a checkpoint of this model may hold beside "
        "River's and NumPy's. Not needed where the object has `snapshot()` and `restore(bytes)`.",
    )
    missing_indicator: bool = Field(
        default=False, description="Adds a 0/1 feature `<name>_missing` for each numeric feature."
    )


AnyModel = Annotated[RiverModel | TorchModel | PythonModel, Field(discriminator="learner")]
