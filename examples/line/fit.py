"""Fit a straight line by gradient descent, epoch by epoch: a training that any Python runs, without a package."""

import argparse
import json
import math
import os
from pathlib import Path


def main() -> None:
    """Print a line for each epoch; leave the result in the job's output folder, where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    args = parser.parse_args()
    points = [(x / 50, 3 * x / 50 + 1 + 0.1 * math.sin(9 * x)) for x in range(50)]
    slope = offset = 0.0
    for epoch in range(1, args.epochs + 1):
        errors = [(x, slope * x + offset - y) for x, y in points]
        slope -= args.learning_rate * 2 * sum(x * error for x, error in errors) / len(errors)
        offset -= args.learning_rate * 2 * sum(error for _, error in errors) / len(errors)
        loss = sum(error * error for _, error in errors) / len(errors)
        print(f"epoch {epoch}/{args.epochs}  loss {loss:.4f}  slope {slope:.3f}  offset {offset:.3f}", flush=True)
    if folder := os.environ.get("OPSCONSOLE_OUTPUT_PATH"):
        (Path(folder) / "line.json").write_text(json.dumps({"slope": slope, "offset": offset}))


if __name__ == "__main__":
    main()
