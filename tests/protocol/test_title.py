"""What a job without a name is called (hard use 29): the work, not what it is started through."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.title import TITLE_CHARACTERS_MAX, title_of


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("./prep.sh a b", "prep.sh"),
        ("/usr/bin/true", "true"),
        ("python3 train.py --lr 3e-4", "train.py"),
        ("python -u -W ignore src/train.py", "train.py"),
        ("python3.11 -m pkg.train --lr 1", "pkg.train"),
        ("python3 -c 'print(1)'", "print(1)"),
        ("python3", "python3"),
        ("bash -lc 'echo hello world'", "echo hello world"),
        ("sh -c 'cd /srv && python train.py --epochs 40 --lr 0.1'", "cd /srv && python train.py --epochs 40…"),
        ("bash -euo pipefail -c 'make all'", "make all"),
        ("bash -euo pipefail run.sh", "run.sh"),
        ("taskset -c 0-3 python train.py", "train.py"),
        ("bash train.sh", "train.sh"),
        ("bash -x scripts/train.sh 1", "train.sh"),
        ("uv run train.py", "train.py"),
        ("uv run --with numpy --no-dev python train.py", "train.py"),
        ("uv run -m pkg.train", "pkg.train"),
        ("uv pip install x", "uv"),
        ("torchrun --nproc_per_node=8 finetune.py", "finetune.py"),
        ("torchrun --standalone --nproc-per-node 8 finetune.py --x", "finetune.py"),
        ("torchrun --nnodes 2 -m pkg.finetune", "pkg.finetune"),
        ("python -m torch.distributed.run --nproc_per_node 2 a/finetune.py", "finetune.py"),
        ("accelerate launch --num_processes 2 train.py", "train.py"),
        ("srun -n 4 --gres gpu:1 --pty python train.py", "train.py"),
        ("srun -n4 ./solve", "solve"),
        ("env A=1 B=2 python3 train.py", "train.py"),
        ("env -u HOME -- ./x.sh", "x.sh"),
        ("A=1 python3 train.py", "train.py"),
        ("nice -n 10 timeout 2h stdbuf -oL python train.py", "train.py"),
        ("conda run -n pose python train.py", "train.py"),
        ("mpirun -np 4 --oversubscribe ./solve", "solve"),
        ("timeout 10", "timeout"),
        ("Rscript fit.R", "fit.R"),
    ],
)
def test_the_work_names_the_job(line: str, title: str) -> None:
    assert title_of(tuple(shlex.split(line))) == title


def test_a_name_and_a_template_come_first() -> None:
    spec = JobSpec(command=("python3", "train.py"))
    assert spec.title == "train.py"
    assert JobSpec(command=("python3", "train.py"), template="pose").title == "pose"
    assert JobSpec(command=("python3", "train.py"), template="pose", name="mine").title == "mine"


@given(
    st.lists(
        st.sampled_from(
            ["env", "uv", "run", "torchrun", "-m", "-c", "--", "bash", "python3", "-", "", "A=1", "x y", "-n", "srun"]
        ),
        min_size=1,
    )
)
def test_every_command_has_a_title(words: list[str]) -> None:
    title = title_of(tuple(words))
    assert title
    assert len(title) <= TITLE_CHARACTERS_MAX


@pytest.mark.parametrize(
    ("command", "title"),
    [
        ("sh -c 'echo {lr}; exit {n}'", "echo {lr}; exit {n}"),
        ("python train.py --lr={lr}", "train.py"),
        ("python {n}.py", "{n}.py"),
    ],
)
def test_a_sweep_is_called_by_what_its_tasks_share(command: str, title: str) -> None:
    points = [{"lr": lr, "n": n} for lr in ("0.1", "0.01") for n in (1, 2)]
    words = shlex.split(command)
    commands = tuple(
        tuple(word.replace("{lr}", str(point["lr"])).replace("{n}", str(point["n"])) for word in words)
        for point in points
    )
    sweep = JobSpec(command=commands[0], task_commands=commands, num_tasks=4, parameters=tuple(points))
    assert sweep.title == title
    assert JobSpec(command=commands[0], task_commands=commands, num_tasks=4).title == title.replace(
        "{lr}; exit {n}", "0.…"
    ).replace("{n}", "…")
