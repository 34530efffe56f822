"""Reporting and pauses for whole trainings: callbacks for Hugging Face's Trainer, for Lightning and for Keras.

    Trainer(..., callbacks=[opsconsole.TrainerCallback()]).train(resume_from_checkpoint=opsconsole.resume_from())

    lightning.Trainer(..., callbacks=[opsconsole.LightningCallback()]).fit(model, ckpt_path=opsconsole.resume_from())

    callback = opsconsole.KerasCallback("checkpoints")
    model = callback.load() or build()
    model.fit(..., initial_epoch=callback.initial_epoch, callbacks=[callback])

A framework is imported when its callback is made, and none before. Beside `task.py` this file needs nothing: a worker lays out both.
"""

# Few imports and Python 3.8, as in task.py; what hooks are given is the frameworks' matter.
# ruff: noqa: ARG002, PTH103, PTH108, PTH110, PTH118, PTH119

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import sys
import time

import opsconsole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_PROGRESS_EVERY_S = 1.0
_KERAS_EVERY = 10
_KERAS_KEPT = 2
_EPOCH = re.compile(r"epoch-(\d+)\.keras")


class TrainerCallback:
    """For Hugging Face's Trainer (transformers 4 and 5): what it logs, its progress, and each checkpoint that it saves.

    Where a pause is asked for, it saves one more checkpoint after the step at hand, and the process ends with PAUSED_EXIT_CODE.
    Of several processes the first one reports and decides.
    """

    def __new__(cls) -> Any:
        return _derived(_TrainerHooks, importlib.import_module("transformers").TrainerCallback)()


class LightningCallback:
    """For Lightning 2 (`lightning` and `pytorch_lightning`): what modules `log`, progress, and checkpoints as they are saved.

    Where a pause is asked for, a checkpoint is saved after the batch at hand, in `folder` (or else the trainer's `default_root_dir`),
    and the process ends with PAUSED_EXIT_CODE. Of several processes the first one reports, and all go by what any of them was asked.
    """

    def __new__(cls, folder: str | None = None) -> Any:
        both = ("lightning.pytorch", "pytorch_lightning")
        module = importlib.import_module(next((one for one in both if one in sys.modules), both[0]))
        return _derived(_LightningHooks, module.Callback)(folder)


class KerasCallback:
    """For Keras 3: what `fit` measures, at every `every`th batch and at the end of each epoch, and its progress.

    After each epoch it saves the model, with its optimizer, in `folder` (the last two are kept). There it also honours a pause, since
    `fit` can begin at an epoch only: the process ends with PAUSED_EXIT_CODE. `load()` gives the model to go on with, or None, and
    `initial_epoch` is what `fit` is told.
    """

    def __new__(cls, folder: str | os.PathLike[str], every: int = _KERAS_EVERY) -> Any:
        return _derived(_KerasHooks, importlib.import_module("keras").callbacks.Callback)(os.fspath(folder), every)


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of this is a number, or a tensor of one: frameworks log words and tables too, and nobody needs to be told of them."""
    found = {}
    for name, value in values.items():
        try:
            found[str(name)] = float(value)
        except Exception:  # noqa: BLE001, S112 - a tensor raises what it likes
            continue
    return found


class _Progress:
    """Tells how far a training is, at most once a second, and at its end."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def tell(self, done: float, total: float) -> None:
        """`done` of `total`; nothing where nobody knows how long it will take."""
        if total > 0 and total != float("inf") and (done >= total or time.monotonic() >= self._next_s):
            self._next_s = time.monotonic() + _PROGRESS_EVERY_S
            opsconsole.progress(done, total)


@functools.cache
def _derived(hooks: type, base: type) -> Any:
    """A callback of a framework: hooks of ours, and of its own those that it calls besides."""
    return type(hooks.__name__.strip("_"), (hooks, base), {"__module__": __name__})


class _TrainerHooks:
    def __init__(self) -> None:
        self._progress = _Progress()
        self._is_pausing = False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **named: Any) -> None:
        if state.is_world_process_zero and logs:
            opsconsole.report(_numbers(logs), step=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **named: Any) -> Any:
        if state.is_world_process_zero:
            self._progress.tell(state.global_step, state.max_steps)
        is_asked = opsconsole.should_pause() and state.global_step < state.max_steps
        self._is_pausing = _first_says(is_asked, args.world_size, args.device)
        control.should_save = control.should_save or self._is_pausing
        return control

    def on_save(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        path = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
        if state.is_local_process_zero and os.path.exists(path):  # on each host that sees it: each is a task of its own
            opsconsole.checkpoint(path, step=state.global_step)
        if self._is_pausing:
            _wait_for_all(args.world_size)
            sys.exit(opsconsole.PAUSED_EXIT_CODE)


def _first_says(value: bool, processes: int, device: Any) -> bool:
    """What the first of several processes says, told to all: else one would save at this step, and the others wait for it at the next."""
    if processes <= 1:
        return value
    import torch

    said = torch.tensor([int(value)], device=device)
    torch.distributed.broadcast(said, 0)
    return bool(said.item())


def _wait_for_all(processes: int) -> None:
    """None may end, and have its launcher end the others, while one of them still writes."""
    if processes > 1:
        import torch

        torch.distributed.barrier()


class _LightningHooks:
    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._progress = _Progress()

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """No hook tells of a checkpoint that has been saved: so the one call by which all of them are saved does."""
        if stage != "fit":
            return
        save = trainer.save_checkpoint

        @functools.wraps(save)
        def saved(filepath: Any, weights_only: Any = None, *words: Any, **named: Any) -> None:
            save(filepath, weights_only, *words, **named)
            if trainer.is_global_zero and not weights_only:  # weights alone are nothing to go on from
                opsconsole.checkpoint(filepath, step=trainer.global_step)

        trainer.save_checkpoint = saved

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        trainer.__dict__.pop("save_checkpoint", None)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step % max(trainer.log_every_n_steps, 1) == 0:
            self._report(trainer)
        if trainer.is_global_zero:
            self._progress.tell(trainer.global_step, trainer.estimated_stepping_batches)
        is_asked = opsconsole.should_pause() and trainer.global_step < trainer.estimated_stepping_batches
        if trainer.strategy.reduce_boolean_decision(is_asked, all=False):
            folder = self._folder or trainer.default_root_dir
            trainer.save_checkpoint(os.path.join(folder, f"pause-step-{trainer.global_step}.ckpt"))
            sys.exit(opsconsole.PAUSED_EXIT_CODE)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._report(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._report(trainer)

    def _report(self, trainer: Any) -> None:
        if trainer.is_global_zero:
            opsconsole.report(_numbers(trainer.callback_metrics), step=trainer.global_step)


class _KerasHooks:
    model: Any
    params: Any

    def __init__(self, folder: str, every: int) -> None:
        super().__init__()
        self._folder = folder
        self._every = max(every, 1)
        self._progress = _Progress()
        self._saved: list[str] = []
        self._step = 0
        found = _EPOCH.fullmatch(os.path.basename(opsconsole.resume_from() or ""))
        self.initial_epoch = int(found.group(1)) if found else 0

    def load(self) -> Any:
        """The model as it was saved in the checkpoint to go on from; None where there is none."""
        path = opsconsole.resume_from()
        return importlib.import_module("keras").saving.load_model(path) if path else None

    def on_train_begin(self, logs: Any = None) -> None:
        self._step = int(self.model.optimizer.iterations)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step += 1
        if self._step % self._every == 0:
            opsconsole.report(_numbers(logs or {}), step=self._step)
        self._progress.tell(self._step, (self.params.get("steps") or 0) * (self.params.get("epochs") or 0))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        opsconsole.report(_numbers(logs or {}), step=self._step)
        os.makedirs(self._folder, exist_ok=True)
        path = os.path.join(self._folder, f"epoch-{epoch + 1}.keras")
        self.model.save(path)
        opsconsole.checkpoint(path, step=self._step)
        self._saved.append(path)
        for old in self._saved[:-_KERAS_KEPT]:
            self._saved.remove(old)
            with contextlib.suppress(OSError):
                os.unlink(old)
        if opsconsole.should_pause() and epoch + 1 < (self.params.get("epochs") or 0):
            sys.exit(opsconsole.PAUSED_EXIT_CODE)
