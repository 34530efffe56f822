"""Make points near a parabola, and split them into those to learn from and those to judge by."""

import csv
import math
import os
from pathlib import Path


def main() -> None:
    """Leave `data/train.csv` and `data/test.csv` in the job's output folder."""
    folder = Path(os.environ["OPSCONSOLE_OUTPUT_PATH"]) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    points = [(x / 20 - 1, (x / 20 - 1) ** 2 + 0.05 * math.sin(37 * x)) for x in range(41)]
    for name, part in (("train.csv", points[::2]), ("test.csv", points[1::2])):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([("x", "y"), *part])
        print(f"{len(part)} points in {name}", flush=True)


if __name__ == "__main__":
    main()
