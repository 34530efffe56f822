"""The console in a terminal that others write to, that is stopped under it, or that can't show it (hard use 31)."""

import signal

from tests.process.lab import OPSCONSOLE, Lab
from tests.terminal.conftest import Open

STOPS = (signal.SIGSTOP,) * 4


def test_one_that_can_only_print_lines_is_refused_in_a_word(lab: Lab, terminal: Open) -> None:
    screen = terminal(120, 30)
    screen.start(("env", "TERM=dumb", *OPSCONSOLE), lab.environ, lab.folder)
    shown = screen.until("ended 2")
    assert "TERM=dumb" in shown
    assert "opsconsole jobs" in shown
    assert not lab.programs()


def test_what_was_written_over_it_goes_and_a_stop_leaves_no_trace(lab: Lab, terminal: Open) -> None:
    lab.serve("--name", "lab-coordinator")
    screen = terminal(120, 30)
    screen.start(OPSCONSOLE, lab.environ, lab.folder)
    screen.until("lab-coordinator", "No jobs yet")
    screen.scribble("\r\nBroadcast message from root\r\n")
    screen.until("Broadcast")
    screen.type("C-l")
    screen.until_gone("Broadcast")
    console = next(one for one in lab.programs() if "serve" not in one.command)
    threads = console.threads
    for number in (*STOPS, signal.SIGTSTP):
        console.signal(number)
        lab.wait(lambda: console.is_stopped, "the console to be stopped")
        screen.scribble("\r\nWritten meanwhile\r\n")
        console.signal(signal.SIGCONT)
        screen.until_gone("Written meanwhile")
        screen.until("lab-coordinator", "No jobs yet")
        screen.type("?")
        screen.until("─ Help ─")
        screen.back("─ Help ─")
    left = console.threads - threads
    assert left < len(STOPS), "each stop left a reader of the keyboard and a writer; a pool's thread or two may be new"


def test_copying_inside_tmux_reaches_tmux(lab: Lab, terminal: Open) -> None:
    lab.serve()
    job_id = lab.give("true")
    screen = terminal(120, 30)
    screen.start(OPSCONSOLE, lab.environ, lab.folder)
    screen.until(job_id[:4])
    screen.type("y")
    screen.until("copied")
    assert screen.buffer() == job_id


def test_a_dead_coordinator_is_said_on_a_screen_that_is_open(lab: Lab, terminal: Open) -> None:
    serve = lab.serve("--name", "lab-coordinator")
    job_id = lab.give("true")
    screen = terminal(120, 30)
    screen.start(OPSCONSOLE, lab.environ, lab.folder)
    screen.until(job_id[:4])
    screen.type("Enter")
    screen.until("Spec", "task 0")
    serve.kill()
    shown = screen.until("lab-coordinator not reached, trying again", "shown as of")
    assert "task 0" in shown
    assert "No tasks" not in shown
    lab.serve("--name", "lab-coordinator")
    screen.until_gone("not reached, trying again")
    screen.until("task 0")
