"""Fit a polynomial to the points that the job before has made."""

import argparse
import csv
import json
import os
from pathlib import Path


def main() -> None:
    """Leave the coefficients in `models/model.json` of the task's output folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--degree", type=int, default=1)
    degree = parser.parse_args().degree
    data = Path(os.environ["OPSCONSOLE_INPUT_0"])  # what was collected of `prepare`
    with (data / "data" / "train.csv").open(newline="") as file:
        points = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
    weights = [0.0] * (degree + 1)
    for step in range(2_000):
        errors = [sum(weight * x**power for power, weight in enumerate(weights)) - y for x, y in points]
        for power in range(degree + 1):
            slope = 2 * sum(error * x**power for error, (x, _) in zip(errors, points, strict=True)) / len(points)
            weights[power] -= 0.3 * slope
        if step % 500 == 499:
            loss = sum(error * error for error in errors) / len(errors)
            print(f"step {step + 1}/2000  loss {loss:.5f}", flush=True)
    folder = Path(os.environ["OPSCONSOLE_OUTPUT_PATH"]) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps({"degree": degree, "weights": weights}) + "\n")


if __name__ == "__main__":
    main()
