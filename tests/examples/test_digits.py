"""The digits example, run for real: what it prints and writes, and that an interruption costs nothing."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "digits" / "train.py"
LINE = re.compile(r"epoch (\d+)/(\d+)  loss \d\.\d{4}  accuracy [01]\.\d{3}  lr \d\.\de-\d\d")
OPTIONS = ("--epochs", "5", "--hidden", "16", "--checkpoint-every", "100")

Main = Callable[[list[str]], int]


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Main]:
    """The script's main in this process, which loads scikit-learn once, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPSCONSOLE_OUTPUT_PATH", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    spec = importlib.util.spec_from_file_location("digits_train", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.main
    for number, handler in handlers.items():
        signal.signal(number, handler)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_prints_its_epochs_and_leaves_a_model_that_works(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import joblib
    from sklearn.datasets import load_digits

    monkeypatch.setenv("OPSCONSOLE_OUTPUT_PATH", str(tmp_path / "job"))
    assert main(["--epochs", "8"]) == 0
    matches = [match for line in capsys.readouterr().out.splitlines() if (match := LINE.fullmatch(line))]
    assert [match.groups() for match in matches] == [(str(epoch), "8") for epoch in range(1, 9)]
    report = json.loads((tmp_path / "job" / "report.json").read_text())
    assert (report["epochs"], report["hidden"], report["learning_rate"]) == (8, 64, 0.001)
    assert [row["epoch"] for row in metrics(tmp_path / "job")] == list(range(1, 9))
    assert metrics(tmp_path / "job")[-1]["accuracy"] == report["accuracy"] > 0.8
    assert [path.name for path in tmp_path.iterdir()] == ["job"]
    pixels, labels = load_digits(return_X_y=True)
    assert joblib.load(tmp_path / "job" / "models" / "digits.joblib").score(pixels / 16, labels) > 0.8
    assert report["model"] == "models/digits.joblib"


@pytest.mark.process
def test_interrupted_and_started_again_it_ends_as_if_nothing_had_been(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, str(SCRIPT), *OPTIONS, "--sleep", "600"]
    with subprocess.Popen(
        command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch 1/5")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "")
    assert out == "interrupted after epoch 1, checkpoint saved\n"
    assert not (tmp_path / "out" / "report.json").exists()

    with (tmp_path / "out" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2}\n')  # as left behind by a start that was killed before its next checkpoint
    assert main([*OPTIONS]) == 0
    assert capsys.readouterr().out.startswith("resumed after epoch 1\nepoch 2/5 ")

    assert main([*OPTIONS, "--output", "whole"]) == 0
    assert capsys.readouterr().out.startswith("epoch 1/5 ")
    resumed, whole = metrics(tmp_path / "out"), metrics(tmp_path / "whole")
    assert [row["epoch"] for row in resumed] == [1, 2, 3, 4, 5]
    assert [row["loss"] for row in resumed] == pytest.approx([row["loss"] for row in whole], abs=1e-5)


def test_a_finished_training_is_not_trained_again(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*OPTIONS]) == 0
    before = metrics(tmp_path / "out")
    capsys.readouterr()
    assert main([*OPTIONS]) == 0
    assert capsys.readouterr().out.startswith("resumed after epoch 5\naccuracy ")
    assert metrics(tmp_path / "out") == before


def test_a_checkpoint_of_other_settings_is_refused(main: Main) -> None:
    assert main([*OPTIONS]) == 0
    with pytest.raises(SystemExit, match="use the same, or another --output"):
        main([*OPTIONS, "--hidden", "17"])


@pytest.mark.parametrize("option", ["--epochs=0", "--hidden=-1", "--learning-rate=nan", "--sleep=-1", "--sleep=inf"])
def test_impossible_options_are_wrong_usage(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([option])
    assert caught.value.code == 2
    assert "must be" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
