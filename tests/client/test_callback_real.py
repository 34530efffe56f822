"""The callbacks with the real frameworks, in a Python that has nothing of ours but what a worker lays out."""

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from opsconsole_agent.state.sdk_folder import install_sdk
from tests.training_python import PYTHON, needs_training_python

pytestmark = [needs_training_python, pytest.mark.process, pytest.mark.timeout(300)]

PAUSE_AT = """
import os
import opsconsole

def pause_at(step, now):
    if step == now and not opsconsole.resume_from():
        open(os.environ["OPSCONSOLE_PAUSE_FILE"], "w").close()
"""

TRANSFORMERS = (
    PAUSE_AT
    + """
import torch, transformers
class Pause(transformers.TrainerCallback):
    def on_step_begin(self, args, state, control, **named):
        pause_at(4, state.global_step)
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
    def forward(self, x, labels):
        out = self.layer(x)
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}
rows = [{"x": torch.tensor([i / 8, 1.0]), "labels": torch.tensor([i / 4])} for i in range(8)]
args = transformers.TrainingArguments("out", max_steps=12, per_device_train_batch_size=2, logging_steps=1, report_to=[], use_cpu=True)
transformers.set_seed(1)
trainer = transformers.Trainer(Model(), args, train_dataset=rows, callbacks=[Pause(), opsconsole.TrainerCallback()])
trainer.train(resume_from_checkpoint=opsconsole.resume_from())
"""
)

LIGHTNING = (
    PAUSE_AT
    + """
import warnings
warnings.simplefilter("ignore")
import lightning, torch
class Pause(lightning.Callback):
    def on_train_batch_start(self, trainer, *rest):
        pause_at(4, trainer.global_step)
class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, index):
        loss = ((self.layer(batch[0]) - batch[1]) ** 2).mean()
        self.log("loss", loss)
        return loss
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters())
x = torch.arange(16.0).reshape(8, 2) / 16
rows = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x[:, :1]), batch_size=2)
lightning.seed_everything(1)
trainer = lightning.Trainer(max_epochs=3, log_every_n_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False,
                            callbacks=[Pause(), opsconsole.LightningCallback()])
trainer.fit(Model(), rows, ckpt_path=opsconsole.resume_from())
"""
)

KERAS = (
    PAUSE_AT
    + """
import keras, numpy
class Pause(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        pause_at(5, int(self.model.optimizer.iterations))
callback = opsconsole.KerasCallback("saved", every=1)
model = callback.load()
if model is None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
x = numpy.arange(16.0).reshape(8, 2) / 16
model.fit(x, x[:, :1], batch_size=2, epochs=3, initial_epoch=callback.initial_epoch, callbacks=[Pause(), callback], verbose=0)
"""
)


def run(folder: Path, script: str, **environment: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, what was reported, and stderr."""
    report = folder / "report"
    report.unlink(missing_ok=True)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": install_sdk(folder),
        "KERAS_BACKEND": "torch",
    }
    environ |= {
        "OPSCONSOLE_REPORT": str(report),
        "OPSCONSOLE_PAUSE_FILE": str(folder / "pause"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [PYTHON, "-c", script],
        env=environ | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in report.read_text().splitlines()], done.stderr


@pytest.mark.parametrize(
    ("script", "paused_at"),
    [(TRANSFORMERS, 5), (LIGHTNING, 5), (KERAS, 8)],
    ids=["transformers", "lightning", "keras"],
)
def test_it_pauses_at_a_checkpoint_and_goes_on_from_there(tmp_path: Path, script: str, paused_at: int) -> None:
    code, first, said = run(tmp_path, script)
    assert code == 85, said
    assert "opsconsole:" not in said
    checkpoint = next(one["checkpoint"] for one in reversed(first) if "checkpoint" in one)
    assert checkpoint["step"] == paused_at
    assert Path(checkpoint["path"]).exists()
    (tmp_path / "pause").unlink()
    code, second, said = run(tmp_path, script, OPSCONSOLE_RESUME_FROM=checkpoint["path"])
    assert code == 0, said
    of_loss = [[one["step"] for one in lines if "loss" in one.get("metrics", {})] for lines in (first, second)]
    assert sorted({*of_loss[0]}) == list(range(1, paused_at + 1))
    assert sorted({*of_loss[1]}) == list(range(paused_at + 1, 13))
    assert [one["progress"] for one in second if "progress" in one][-1] == {"done": 12, "total": 12}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


TOGETHER = {
    "transformers": TRANSFORMERS.replace("use_cpu=True", 'use_cpu=True, ddp_backend="gloo"'),
    "lightning": LIGHTNING.replace("max_epochs=3", 'max_epochs=6, num_nodes=2, devices=1, strategy="ddp"'),
}
"""Of 12 steps each, which the two share."""


@pytest.mark.parametrize("framework", TOGETHER)
@pytest.mark.parametrize("asked", [0, 1], ids=["the first", "another"])
def test_all_processes_of_a_training_stop_at_one_step_or_none_does(tmp_path: Path, framework: str, asked: int) -> None:
    """Two real ranks, of which only one is asked to pause: they end together at one step, or go on together."""
    port = free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": install_sdk(tmp_path),
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    script = TOGETHER[framework]
    ranks = []
    for rank in range(2):
        own = tmp_path / str(rank)
        own.mkdir()
        ranks.append(
            subprocess.Popen(
                [PYTHON, "-c", script if rank == asked else script.replace("pause_at(4", "pause_at(-1")],
                env=environ
                | {
                    "HOME": str(own),
                    "RANK": str(rank),
                    "NODE_RANK": str(rank),
                    "LOCAL_RANK": "0",
                    "OPSCONSOLE_REPORT": str(own / "report"),
                    "OPSCONSOLE_PAUSE_FILE": str(own / "pause"),
                },
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        said = [one.communicate(timeout=280)[0] for one in ranks]
    finally:
        for one in ranks:
            one.kill()
            one.wait()
    is_paused = (
        asked == 0 or framework == "lightning"
    )  # Hugging Face's goes by what the first was asked, Lightning by any
    assert [one.returncode for one in ranks] == [85 if is_paused else 0] * 2, said
    lines = [json.loads(line) for line in (tmp_path / "0" / "report").read_text().splitlines()]
    last = [one["checkpoint"] for one in lines if "checkpoint" in one][-1]
    assert last["step"] == (5 if is_paused else 12), "it saved at the step at which it was asked"
    assert Path(last["path"]).exists()
    other = tmp_path / "1" / "report"
    told = [json.loads(line) for line in other.read_text().splitlines()] if other.exists() else []
    assert all("checkpoint" in one for one in told), "the first one reports for all; each host says what lies there"
