"""Fit a straight line by gradient descent, epoch by epoch: a training that any Python runs, without a package."""

import argparse
import csv
import json
import math
import os
from pathlib import Path


def main() -> None:
    """Print a line for each epoch; leave the model in `models/` of the job's output folder, or else of this folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--data", type=Path, help="a CSV file with columns x and y, in place of made-up points")
    args = parser.parse_args()
    points = read(args.data) if args.data else made_up()
    slope = offset = 0.0
    for epoch in range(1, args.epochs + 1):
        errors = [(x, slope * x + offset - y) for x, y in points]
        slope -= args.learning_rate * 2 * sum(x * error for x, error in errors) / len(errors)
        offset -= args.learning_rate * 2 * sum(error for _, error in errors) / len(errors)
        loss = sum(error * error for _, error in errors) / len(errors)
        print(f"epoch {epoch}/{args.epochs}  loss {loss:.4f}  slope {slope:.3f}  offset {offset:.3f}", flush=True)
    folder = Path(os.environ.get("OPSCONSOLE_OUTPUT_PATH", ".")) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "line.json").write_text(json.dumps({"slope": slope, "offset": offset}) + "\n")


def made_up() -> list[tuple[float, float]]:
    """Points near y = 3 x + 1."""
    return [(x / 50, 3 * x / 50 + 1 + 0.1 * math.sin(9 * x)) for x in range(50)]


def read(path: Path) -> list[tuple[float, float]]:
    """The points in a CSV file."""
    with path.open(newline="") as file:
        return [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]


if __name__ == "__main__":
    main()
