"""Train a small classifier on scikit-learn's digits, the way a long training behaves: by epochs, with checkpoints.

Interrupted by SIGTERM (or Ctrl-C) it saves a checkpoint and exits; started again with the same output folder it goes
on from there and ends with the same model as if nothing had been.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

CHECKPOINT = "checkpoint.joblib"
SLICE_S = 0.05


class Stop:
    """Remembers the signal that asked this process to end, so that an epoch is never cut in the middle."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the signal."""
        end = time.monotonic() + seconds
        while not self.signal and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_S))


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a classifier on the digits data set.")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--hidden", type=int, default=64, help="units in the hidden layer")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint-every", type=int, default=5, metavar="EPOCHS")
    parser.add_argument("--sleep", type=float, default=0.0, metavar="SECONDS", help="pause after each epoch, to watch")
    parser.add_argument("--output", type=Path, default=Path("out"), help="unless OPSCONSOLE_OUTPUT_PATH is set")
    options = parser.parse_args(argv)
    for name in ("epochs", "learning_rate", "hidden", "batch_size", "checkpoint_every"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name.replace('_', '-')} must be more than 0")
    if not 0 <= options.sleep < float("inf"):
        parser.error("--sleep must be 0 or more")
    return options


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What a checkpoint depends on; the rest may change between two starts."""
    return {name: getattr(options, name) for name in ("learning_rate", "hidden", "batch_size", "seed")}


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a file beside `path`, then put it in place: a reader sees the old one or the new one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Training:
    """The model, how far it is, and what each epoch brought."""

    def __init__(self, options: argparse.Namespace, output: Path) -> None:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
        from sklearn.neural_network import MLPClassifier

        self.options, self.output = options, output
        pixels, labels = load_digits(return_X_y=True)
        self.train_x, self.test_x, self.train_y, self.test_y = train_test_split(
            pixels / 16.0, labels, test_size=0.25, random_state=options.seed, stratify=labels
        )
        self.model = MLPClassifier(
            hidden_layer_sizes=(options.hidden,),
            learning_rate_init=options.learning_rate,
            batch_size=min(options.batch_size, len(self.train_y)),
            random_state=options.seed,
        )
        self.history: list[dict[str, float]] = []

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one; SystemExit if it was made with other settings."""
        import joblib

        path = self.output / CHECKPOINT
        if path.exists():
            saved = joblib.load(path)
            if saved["settings"] != settings(self.options):
                sys.exit(f"{path} was made with {saved['settings']}: use the same, or another --output")
            self.model, self.history = saved["model"], saved["history"]
            print(f"resumed after epoch {self.epoch}", flush=True)
        # A start that was killed may have written lines that its last checkpoint doesn't know.
        lines = "".join(json.dumps(row) + "\n" for row in self.history)
        replace_file(self.output / "metrics.jsonl", lambda target: target.write_text(lines))

    def save(self) -> None:
        """Write the checkpoint."""
        import joblib

        state = {"settings": settings(self.options), "model": self.model, "history": self.history}
        replace_file(self.output / CHECKPOINT, lambda target: joblib.dump(state, target))

    def run_epoch(self) -> None:
        """Train one epoch and tell what it brought."""
        self.model.partial_fit(self.train_x, self.train_y, classes=range(10))
        row = {
            "epoch": self.epoch + 1,
            "loss": round(float(self.model.loss_), 6),
            "accuracy": round(float(self.model.score(self.test_x, self.test_y)), 6),
        }
        self.history.append(row)
        with (self.output / "metrics.jsonl").open("a") as metrics:
            metrics.write(json.dumps(row) + "\n")
        print(
            f"epoch {self.epoch}/{self.options.epochs}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.3f}"
            f"  lr {self.options.learning_rate:.1e}",
            flush=True,
        )

    def finish(self) -> None:
        """Write the model and the report."""
        import joblib

        last = self.history[-1]
        report = {"epochs": self.epoch, "loss": last["loss"], "accuracy": last["accuracy"], **settings(self.options)}
        report["model"] = "models/digits.joblib"
        replace_file(self.output / report["model"], lambda target: joblib.dump(self.model, target))
        text = json.dumps(report, indent=2) + "\n"
        replace_file(self.output / "report.json", lambda target: target.write_text(text))
        print(f"accuracy {last['accuracy']:.3f}, model in {self.output / report['model']}", flush=True)


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    stop = Stop()
    output = Path(os.environ.get("OPSCONSOLE_OUTPUT_PATH") or options.output)
    training = Training(options, output)
    training.resume()
    while training.epoch < options.epochs and not stop.signal:
        training.run_epoch()
        if training.epoch % options.checkpoint_every == 0:
            training.save()
        if training.epoch < options.epochs:
            stop.sleep(options.sleep)
    training.save()
    if training.epoch < options.epochs:
        print(f"interrupted after epoch {training.epoch}, checkpoint saved", flush=True)
        return 128 + stop.signal
    training.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
