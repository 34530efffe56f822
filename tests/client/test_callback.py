"""Callbacks for trainers: what they say and how they pause, by the hooks that the frameworks document.

Those are: transformers 5.24 `TrainerCallback`, Lightning 2.6 `Callback`, Keras 3.15 `callbacks.Callback`. The real frameworks have their
turn in test_callback_real.py.
"""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import opsconsole


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What was reported since, without times."""
    monkeypatch.setenv("OPSCONSOLE_REPORT", str(tmp_path / "report"))
    monkeypatch.setenv("OPSCONSOLE_PAUSE_FILE", str(tmp_path / "pause"))
    return lambda: [
        {key: value for key, value in json.loads(line).items() if key != "at_ms"}
        for line in (tmp_path / "report").read_text().splitlines()
    ]


def provide(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    """A framework of which only this is there."""
    module = ModuleType(name)
    for key, value in contents.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


class Base:
    """What frameworks' callbacks derive from."""

    model: Any
    params: dict[str, int]


def test_no_framework_is_loaded_before_one_is_asked_for() -> None:
    code = (
        "import opsconsole, sys; opsconsole.TrainerCallback, opsconsole.LightningCallback, opsconsole.KerasCallback; "
    )
    code += "print([one for one in ('transformers', 'torch', 'lightning', 'keras') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("made", "missing"),
    [
        (opsconsole.TrainerCallback, "transformers"),
        (opsconsole.LightningCallback, "lightning"),
        (lambda: opsconsole.KerasCallback("x"), "keras"),
    ],
)
def test_without_its_framework_the_error_names_it(made: Any, missing: str, said: Any) -> None:
    with pytest.raises(ModuleNotFoundError, match=missing):
        made()


def test_the_trainer_s_says_what_is_logged_and_saved_and_ends_once_it_has_saved(
    said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch, "transformers", TrainerCallback=Base)
    assert isinstance(opsconsole.TrainerCallback(), Base)
    made: Any = opsconsole.TrainerCallback()
    args = SimpleNamespace(world_size=1, device="cpu", output_dir=str(tmp_path / "out"))
    state = SimpleNamespace(is_world_process_zero=True, is_local_process_zero=True, global_step=3, max_steps=10)
    for step in (3, 4):
        (tmp_path / f"out/checkpoint-{step}").mkdir(parents=True)
    control = SimpleNamespace(should_save=False)
    made.on_log(args, state, control, logs={"loss": 0.5, "name": "x"}, model=None)
    made.on_step_end(args, state, control, model=None)
    assert not control.should_save
    made.on_save(args, state, control, model=None)  # asked for by nobody: it goes on
    (tmp_path / "pause").touch()
    state.global_step = 4
    made.on_step_end(args, state, control, model=None)
    assert control.should_save
    with pytest.raises(SystemExit) as ended:
        made.on_save(args, state, control, model=None)
    assert ended.value.code == opsconsole.PAUSED_EXIT_CODE
    assert said() == [
        {"step": 3, "metrics": {"loss": 0.5}},
        {"progress": {"done": 3, "total": 10}},
        {"checkpoint": {"path": str(tmp_path / "out/checkpoint-3"), "step": 3}},
        {"checkpoint": {"path": str(tmp_path / "out/checkpoint-4"), "step": 4}},
    ]


def test_a_training_that_is_over_or_goes_on_after_all_is_not_ended(
    said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch, "transformers", TrainerCallback=Base)
    made: Any = opsconsole.TrainerCallback()
    args = SimpleNamespace(world_size=1, device="cpu", output_dir=str(tmp_path))
    state = SimpleNamespace(is_world_process_zero=False, is_local_process_zero=True, global_step=9, max_steps=10)
    (tmp_path / "pause").touch()
    made.on_step_end(args, state, SimpleNamespace(should_save=False))
    (tmp_path / "pause").unlink()
    made.on_step_end(args, state, SimpleNamespace(should_save=False))
    made.on_save(args, state, None)
    (tmp_path / "pause").touch()
    state.global_step = 10
    made.on_step_end(args, state, SimpleNamespace(should_save=False))
    made.on_save(args, state, None)
    assert not (tmp_path / "report").exists(), "another than the first process says nothing of what it doesn't see"


class Lightning:
    """Lightning's Trainer, as far as a callback may touch it."""

    is_global_zero, global_step, log_every_n_steps, estimated_stepping_batches = True, 10, 5, 20.0
    sanity_checking = False

    def __init__(self, folder: Path) -> None:
        self.default_root_dir = str(folder)
        self.callback_metrics = {"loss": 0.25}
        self.strategy = SimpleNamespace(reduce_boolean_decision=lambda value, **_: value)
        self.saved: list[str] = []

    def save_checkpoint(self, filepath: str, *_: Any) -> None:
        self.saved.append(filepath)
        Path(filepath).touch()


def test_lightning_s_says_what_is_logged_and_saved_and_ends_once_it_has_saved(
    said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch, "lightning")
    provide(monkeypatch, "lightning.pytorch", Callback=Base)
    made, trainer = opsconsole.LightningCallback(), Lightning(tmp_path)
    made.setup(trainer, None, stage="fit")
    trainer.save_checkpoint(str(tmp_path / "best.ckpt"), False)
    trainer.save_checkpoint(str(tmp_path / "weights.ckpt"), True)
    made.on_train_batch_end(trainer, None, None, None, 0)
    (tmp_path / "pause").touch()
    trainer.global_step = 11
    with pytest.raises(SystemExit) as ended:
        made.on_train_batch_end(trainer, None, None, None, 1)
    assert ended.value.code == opsconsole.PAUSED_EXIT_CODE
    last = str(tmp_path / "pause-step-11.ckpt")
    assert trainer.saved[-1] == last
    assert said() == [
        {"checkpoint": {"path": str(tmp_path / "best.ckpt"), "step": 10}},
        {"step": 10, "metrics": {"loss": 0.25}},
        {"progress": {"done": 10, "total": 20.0}},
        {"checkpoint": {"path": last, "step": 11}},
    ]
    made.teardown(trainer, None, stage="fit")
    trainer.save_checkpoint(str(tmp_path / "later.ckpt"))
    assert len(said()) == 4


def test_keras_s_saves_each_epoch_and_ends_after_one(
    said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(path: str) -> None:
        Path(path).write_text("model")

    provide(
        monkeypatch, "keras", callbacks=SimpleNamespace(Callback=Base), saving=SimpleNamespace(load_model=str.upper)
    )
    folder = tmp_path / "saved"
    made = opsconsole.KerasCallback(folder, every=2)
    assert (made.initial_epoch, made.load()) == (0, None)
    made.model, made.params = (
        SimpleNamespace(optimizer=SimpleNamespace(iterations=0), save=save),
        {"epochs": 9, "steps": 2},
    )
    made.on_train_begin()
    for epoch in range(3):
        for batch in range(2):
            made.on_train_batch_end(batch, logs={"loss": 1 / (1 + epoch)})
        if epoch == 2:
            (tmp_path / "pause").touch()
            with pytest.raises(SystemExit) as ended:
                made.on_epoch_end(epoch, logs={"val_loss": 2})
            assert ended.value.code == opsconsole.PAUSED_EXIT_CODE
        else:
            made.on_epoch_end(epoch, logs={"val_loss": 2})
    assert {path.name for path in folder.iterdir()} == {"epoch-2.keras", "epoch-3.keras"}
    lines = said()
    assert [one["metrics"]["loss"] for one in lines if "loss" in one.get("metrics", {})] == [1, 1 / 2, 1 / 3]
    assert [one["step"] for one in lines if "val_loss" in one.get("metrics", {})] == [2, 4, 6]
    assert lines[-1] == {"checkpoint": {"path": str(folder / "epoch-3.keras"), "step": 6}}
    monkeypatch.setenv("OPSCONSOLE_RESUME_FROM", "here/epoch-3.keras")
    again = opsconsole.KerasCallback(folder)
    assert (again.initial_epoch, again.load()) == (3, "HERE/EPOCH-3.KERAS")
