"""The real console in a real terminal: keys typed, screens read, jobs run."""

import signal
import socket
from pathlib import Path

from tests.process.lab import OPSCONSOLE, Lab
from tests.terminal.conftest import Open
from tests.terminal.tmux import Terminal

COUNT = "i=0; while :; do i=$((i+1)); echo count $i; echo $i > $PLACE; sleep 0.05; done"


def console(lab: Lab, terminal: Terminal, *arguments: str) -> Terminal:
    """The console, up and with a worker."""
    terminal.start((*OPSCONSOLE, *arguments), lab.environ, lab.folder)
    terminal.until("Workers", "Jobs", "1 up")
    return terminal


def test_without_a_terminal_it_says_in_one_line_what_to_use(lab: Lab) -> None:
    done = lab.run(code=2)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "opsconsole run" in done.stderr
    assert "opsconsole serve" in done.stderr
    assert not lab.left()


def test_a_job_from_its_first_key_to_its_end(lab: Lab, terminal: Open) -> None:
    screen = console(lab, terminal(160, 45), "--listen", "127.0.0.1:0")
    assert all(len(line) <= 160 for line in screen.screen().splitlines())
    screen.type("n")
    screen.until("New job", "command")
    screen.write("sh -c 'i=0; while :; do i=$((i+1)); echo count $i; sleep 0.1; done'")
    screen.until("runs  sh -c", "the only one that accepts")
    screen.type("C-s")
    screen.until("running")
    job_id = lab.ask(lambda client: client.jobs())[0].id
    screen.type("l")
    screen.until("3 Logs", "count 5")

    screen.type("2", "p")
    lab.wait_state(job_id, "paused")
    screen.until("‖ paused")
    screen.type("p")
    lab.wait_state(job_id, "running")
    screen.type("w")
    screen.until(job_id[:4], "esc Back")
    screen.back("esc Back")

    screen.type("c")
    screen.until("Keep it")
    screen.type("n")
    screen.until_gone("Keep it")
    assert lab.state(job_id) == "running"
    screen.type("c")
    screen.until("Keep it")
    screen.type("y")
    lab.wait_state(job_id, "killed")
    screen.until("killed")
    screen.type("Enter")
    screen.until("cancelled by", "Spec", "esc Back")
    screen.back("esc Back")
    screen.type("q")
    screen.until("ended 0", "Running tasks go on")


def test_finding_help_colours_and_sizes(lab: Lab, terminal: Open) -> None:
    lab.serve("--name", "lab-coordinator")
    lab.agent("gpu-a")
    for name in ("alpha", "beta"):
        lab.wait_state(lab.give("true", name=name), "succeeded")
    screen = console(lab, terminal(80, 24))
    screen.until("alpha", "beta")
    assert all(len(line) <= 80 for line in screen.screen().splitlines())
    screen.type("/")
    screen.write("alp")
    screen.type("Enter")
    screen.until_gone("beta")
    screen.until("filter: alp  1 of 2")
    screen.back("filter: alp")
    screen.until("alpha", "beta")
    screen.type("?")
    screen.until("─ Help ─", "esc Back")
    screen.back("esc Back")
    before = screen.colours()
    screen.type(":")
    screen.write("theme opsconsole-light")
    screen.type("Enter")
    screen.until_true(lambda: screen.colours() != before, "other colours")

    for width, height in ((300, 60), (40, 12), (160, 45), (80, 24)):
        screen.resize(width, height)
        screen.until_width(width)
    screen.until("alpha", "beta", "1 up")

    # A second console on the same data folder attaches; a remote one that only looks has no verbs.
    second = console(lab, terminal(120, 30))
    second.until("lab-coordinator", "alpha")
    token = (lab.data_dir / "operator.token").read_text().strip()
    third = terminal(120, 30)
    stranger = lab.environ | {"OPSCONSOLE_TOKEN": token, "OPSCONSOLE_DATA_DIR": f"{lab.folder}/other"}
    address = lab.endpoint["url"]
    third.start((*OPSCONSOLE, "--connect", address, "--read-only"), stranger, lab.folder)
    third.until("alpha", "1 up")
    assert "n New" in second.screen()
    assert "n New" not in third.screen()
    third.type("n", "c", "p")
    third.type("?")
    third.until("Help", "Tables")
    third.back("Tables")
    assert "New job" not in third.screen()
    for one in (screen, second, third):
        one.type("q")
        one.until("ended 0", "this was only a view")
    assert lab.worker("gpu-a")["connection"] == "connected"


def count_at(lab: Lab, place: Path) -> int:
    """How far the task has counted. It writes the number anew each time, so for a moment the file may be empty."""
    number = ""

    def is_there() -> bool:
        nonlocal number
        number = place.read_text()
        return bool(number)

    lab.wait(is_there, "the task's number")
    return int(number)


def test_leaving_ends_no_task_and_the_next_console_finds_it(lab: Lab, terminal: Open) -> None:
    place = lab.folder / "place"
    screen = console(lab, terminal(120, 30), "--listen", "127.0.0.1:0")
    lab.wait(lambda: lab.ask(lambda client: client.workers()) != [], "the worker")
    job_id = lab.give(COUNT, environment={"PLACE": str(place)})
    screen.until("running")
    screen.type("q")
    screen.until("Stop this coordinator?", "jobs at work")
    screen.type("y")
    screen.until("ended 0", "Running tasks go on")
    lab.wait(lambda: not lab.programs(), "the console's end")
    counted = count_at(lab, place)
    lab.wait(lambda: count_at(lab, place) > counted, "the task to go on")

    again = console(lab, terminal(120, 30), "--listen", "127.0.0.1:0")
    again.until(job_id[:4], "running")
    again.type("l")
    again.until(f"count {counted}")
    assert lab.job(job_id)["tasks"][0]["attempt"] == 0

    # The terminal is closed: the console goes with it, its agent too, the task doesn't.
    again.close()
    lab.wait(lambda: not lab.programs(), "the console's end")
    counted = count_at(lab, place)
    lab.wait(lambda: count_at(lab, place) > counted, "the task to go on")
    lab.serve()
    lab.start("local", "agent", "--state-dir", str(lab.data_dir / "agent"))
    lab.wait(lambda: lab.state(job_id) == "running", "the task to be found again")
    lab.act("cancel", job_id)
    assert len(lab.wait_state(job_id, "killed")["tasks"][0]["attempts"]) == 1


def test_a_coordinator_that_can_not_start_ends_the_console_with_one_line(lab: Lab, terminal: Open) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        screen = terminal(120, 30)
        screen.start((*OPSCONSOLE, "--listen", f"127.0.0.1:{port}"), lab.environ, lab.folder)
        shown = screen.until("ended ")
    said = [line for line in shown.splitlines() if line]
    assert len(said) == 2, shown
    assert str(port) in said[0]
    assert "--listen" in said[0]
    assert said[1] == "ended 2"
    assert not lab.programs()


def test_a_killed_console_leaves_no_agent_behind(lab: Lab, terminal: Open) -> None:
    console(lab, terminal(120, 30), "--listen", "127.0.0.1:0")
    programs = lab.programs()
    next(one for one in programs if "agent" not in one.command).signal(signal.SIGKILL)
    lab.wait(lambda: not any(one.is_alive for one in programs), "the agent to end")
