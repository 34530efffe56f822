"""What lines of well-known tools say, and lines that say nothing of a training."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_agent.recognise.line import PRINTED_LINE_BYTES_MAX, Count, recognise
from opsconsole_protocol.pattern import compile_pattern

METRICS: dict[str, tuple[float | None, dict[str, float]]] = {
    # tqdm, with set_postfix
    " 40%|████      | 40/100 [00:01<00:02, 30.0it/s, loss=0.31, lr=1e-5]": (None, {"loss": 0.31, "lr": 1e-5}),
    "train:  41%|####1     | 41/100 [00:04<00:06,  9.9it/s, acc=97.5%, loss=nan]": (None, {"acc": 97.5, "loss": float("nan")}),
    # Lightning: tqdm's bar and rich's
    "Epoch 3:  50%|█████     | 50/100 [00:05<00:05,  9.88it/s, v_num=1, train_loss=0.310]": (None, {"train_loss": 0.31}),
    "Epoch 3/9  ━━━━━━━━━━━━━━━╸━━━━ 50/100 0:00:05 • 0:00:05 9.88it/s v_num: 1 train_loss: 0.31": (None, {"train_loss": 0.31}),
    # Keras 2 and 3
    "120/600 [=====>........................] - ETA: 8s - loss: 0.3012 - accuracy: 0.9050": (None, {"loss": 0.3012, "accuracy": 0.905}),
    "120/600 ━━━━━━━━━━━━━━━━━━━━ 8s 17ms/step - accuracy: 0.9050 - loss: 0.3012": (None, {"accuracy": 0.905, "loss": 0.3012}),
    # Trainer, before version 5 and since
    "{'loss': 0.31, 'grad_norm': 1.25, 'learning_rate': 4.8e-05, 'epoch': 1.0}": (1, {"loss": 0.31, "grad_norm": 1.25, "learning_rate": 4.8e-05}),
    "{'loss': '0.31', 'grad_norm': '1.25', 'learning_rate': '4.8e-05', 'epoch': '0.5'}": (0.5, {"loss": 0.31, "grad_norm": 1.25, "learning_rate": 4.8e-05}),
    "{'eval_loss': 0.4, 'eval_runtime': 1.5, 'eval_samples_per_second': 66.6, 'epoch': 2.0}": (2, {"eval_loss": 0.4, "eval_runtime": 1.5, "eval_samples_per_second": 66.6}),
    "{'loss': nan, 'epoch': 1.0}": (1, {"loss": float("nan")}),
    # JSON lines
    '{"step": 120, "loss": 0.31, "time": 1764270000.5}': (120, {"loss": 0.31}),
    '{"level": "info", "ts": 1764270000.1, "msg": "trained", "epoch": 3, "val_acc": 0.9}': (3, {"val_acc": 0.9}),
    '{"step": 7, "train": {"loss": 1.5}, "metrics": {"acc": 1.0}}': (7, {"train/loss": 1.5, "acc": 1.0}),
    # pairs
    "step=120 loss=0.31 lr=3e-4": (120, {"loss": 0.31, "lr": 3e-4}),
    "INFO 2026-11-27 10:00:00,123 trainer.py:88 step: 120, loss: 0.31.": (120, {"loss": 0.31}),
    "[2026-11-27 10:00:00][INFO] - global_step 1200 tokens_per_s=51234.5": (1200, {"tokens_per_s": 51234.5}),
    "iter 100: loss 2.5312, time 30.11ms, mfu 3.20%": (100, {"loss": 2.5312}),
    "step 250: train loss 2.5, val loss 2.6": (250, {"train_loss": 2.5, "val_loss": 2.6}),
    "Epoch [3/10], Step [40/100], Loss: 0.1234": (None, {"Loss": 0.1234}),
    "Epoch: [0][ 10/5005]\tTime  0.5 ( 1.0)\tLoss 6.9e+00 (6.91e+00)\tAcc@1   0.39 (  0.20)": (None, {"Loss": 6.9, "Acc@1": 0.39}),
    "Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.134": (None, {"Loss": 2.134}),
    "Test set: Average loss: 0.0512, Accuracy: 9832/10000 (98%)": (None, {"loss": 0.0512}),
    "epoch 3 val_loss=0.5 val_acc=0.75": (3, {"val_loss": 0.5, "val_acc": 0.75}),
    "step=9 train_loss_step=0.5 train_loss_epoch=0.6 loss_total=1": (9, {"train_loss_step": 0.5, "train_loss_epoch": 0.6, "loss_total": 1.0}),
    "loss=inf": (None, {"loss": float("inf")}),
    "validation accuracy: 93.1%": (None, {"validation_accuracy": 93.1}),
    "lr: 0.0003": (None, {"lr": 0.0003}),
    "\x1b[32mloss\x1b[0m: \x1b[1m0.25\x1b[0m": (None, {"loss": 0.25}),
    "step=4 loss=0.5 sent to http://host/?step=9&loss=7&acc=2": (4, {"loss": 0.5}),
    "step 7 / 9 train/loss=0.5 loss/val: 0.25": (None, {"train/loss": 0.5, "loss/val": 0.25}),
    "ep_rew_mean step=2048 reward=-12.5": (2048, {"reward": -12.5}),
}  # fmt: skip
NOTHING = [
    "",
    "2026-11-27 10:00:00,123 INFO listening on 10.0.0.1:8080",
    '10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "GET /x HTTP/1.1" 200 512',
    "retries=3",
    "retries=3 timeout=30 port=8080",
    "loaded /data/2026/11/27/loss=0.3/model.pt",
    "torch==2.5.1 numpy=1.26.4",
    "python: 3.11.7",
    "Namespace(lr=0.001, epochs=10, batch_size=32, seed=42)",
    "lr=0.001 batch_size=32 dropout=0.1",
    "{'lr': 0.001, 'batch_size': 32, 'epochs': 10}",
    "{'retries': 3, 'timeout': 30}",
    '{"level": "info", "ts": 1764270000.1, "msg": "started", "pid": 4}',
    '{"level": "error", "msg": "step failed", "line": 12}',
    "[1, 2, 3]",
    "Downloading https://example.com/loss-0.3.tar.gz",
    "gateway=10.0.0.1 mask=255.255.255.0",
    "elapsed: 12.5 total: 30",
    "Total params: 1,234,567",
    "GPU 0: 41C, 20000MiB / 81920MiB",
    "CUDA Version: 12.4",
    "Saved to out/step_1000/loss_0.31.ckpt",
    "loss function: cross_entropy",
    "using loss=mse",
    "Traceback (most recent call last):",
    '  File "train.py", line 120, in step',
    "ValueError: loss must be positive",
    "step 3 of the set-up: install packages",
    "iter_time: 3ms",
    "map: {1: 2}",
    "at 12:30 the loss fell",
    "seed: 42",
    "The return code was 1",
    "precision: bf16",
    "accuracy 41% of the time",
    "GET http://host/?loss=0.5",
    "GET /x?epoch=3&loss=5 200",
    "GET /x?epoch=3/10&loss=5 200",
    "wget https://h/p?step=4&loss=1.5&acc=2",
    'fetched "https://h/p;step=4,loss=1.5" from url=http://h/#loss=0.5',
    "posted epoch=3&loss=5 to host/x?acc=2",
    "wrote '/data/run,loss=0.5,acc=2' and ~/a;loss=1",
    "commit 780710d75786129e2a333979fe9e42583371b443",
    "eth0: mtu 1500 qdisc mq state UP group default qlen 1000",
]


@pytest.mark.parametrize("line", METRICS)
def test_metrics_are_recognised(line: str) -> None:
    said = recognise(line.encode())
    assert said is not None
    step, values = METRICS[line]
    assert (said.step, repr(said.values)) == (step, repr(values))


@pytest.mark.parametrize("line", NOTHING)
def test_other_lines_say_nothing(line: str) -> None:
    said = recognise(line.encode())
    assert said is None or (not said.values and said.bar is None and said.epoch is None)


@pytest.mark.parametrize(
    ("pattern", "line", "step", "values", "bar"),
    [
        (r"L=(?P<loss>\S+) @(?P<step>\d+)", "x L=0.5 @12 acc=3", 12, {"loss": 0.5}, None),
        (r"(?P<done>\d+) von (?P<total>\d+)", "12 von 90", None, {}, Count(12, 90)),
        (r"(?P<loss>\w+)", "none", None, {}, None),
        (r"L=(?P<loss>\S+)", "\x1b[1mL=\x1b[0m0.5", None, {"loss": 0.5}, None),
    ],
)
def test_a_pattern_says_which_metrics(
    pattern: str, line: str, step: float | None, values: dict[str, float], bar: Count | None
) -> None:
    said = recognise(line.encode(), compile_pattern(pattern))
    assert (None, {}, None) if said is None else (said.step, said.values, said.bar) == (step, values, bar)


def test_with_a_pattern_bars_still_tell_progress_and_nothing_else() -> None:
    said = recognise(b" 40%|####      | 40/100 [00:01<00:02, 30.0it/s, loss=0.31]", compile_pattern("L=(?P<l>.)"))
    assert said is not None
    assert (said.bar, said.values) == (Count(40, 100, 2000.0), {})


@given(st.binary(max_size=PRINTED_LINE_BYTES_MAX))
def test_no_line_does_harm(line: bytes) -> None:
    said = recognise(line)
    assert said is None or said.bar is None or 0 <= said.bar.done <= said.bar.total


@given(
    st.lists(
        st.sampled_from(["[", "=", ">", "-", ".", " ", "1", "9/", "%", "|", "loss", "epoch", "step ", "'a'", ":", "{", "}", "━", "e", "\t", "_", "("]),
        min_size=1, max_size=6,
    ).map(lambda parts: ("".join(parts) * PRINTED_LINE_BYTES_MAX).encode()[:PRINTED_LINE_BYTES_MAX]),
)  # fmt: skip
def test_no_line_takes_long(line: bytes) -> None:
    """A repeated pattern is what makes expressions run away; the slowest honest line takes some 2 ms."""
    line = b"loss1" + line[:-6] + b"!"
    began_s = time.thread_time()
    recognise(line)
    recognise(b"{" + line[:-2] + b"}")
    assert time.thread_time() - began_s < 0.25
