"""All verbs: the module of each, and what it does in one line. `--help` needs nothing else, so it loads nothing else."""

from typing import NamedTuple

COMMON = ("connect", "token", "token_file", "data_dir", "config")
"""The options that every verb's parser knows, and nearly every verb uses."""


class Verb(NamedTuple):
    """A verb's module in this package, its help, which of the common options it uses, and why it doesn't use the others."""

    module: str
    help: str
    uses: tuple[str, ...] = COMMON
    why: str = ""


VERBS = {
    "run": Verb(
        "run",
        "run one job here, with its log on stdout and stderr, and exit with its code",
        (),
        "a run has a coordinator of its own, here",
    ),
    "submit": Verb("submit", "submit a job; its id alone on stdout"),
    "clone": Verb("clone", "submit a job once more, with changes; the new id alone on stdout"),
    "jobs": Verb("listing", "list jobs, newest first"),
    "filters": Verb("filter", "list the filters on jobs that you saved", (), "they are kept on this machine"),
    "filter": Verb("filter", "save a filter on jobs by a name, or remove it", (), "they are kept on this machine"),
    "workers": Verb("listing", "list workers: GPUs, what they do, where their files are"),
    "projects": Verb("listing", "list projects"),
    "templates": Verb("listing", "list templates"),
    "show": Verb("job", "show a job: its tasks, their attempts, what happened"),
    "logs": Verb("logs", "print a task's log: stdout on stdout, all else on stderr"),
    "put": Verb("transfer", "bring files from here into a worker's folder"),
    "get": Verb("transfer", "bring a job's results here"),
    "ls": Verb("file", "list the files of a worker or a job"),
    "dataset": Verb("dataset", "say what a dataset holds, or why it is broken"),
    "transfers": Verb("transfer", "list transfers of this machine; go on with those that wait"),
    "exec": Verb("into", "run a command in a task that runs, with its exit code"),
    "shell": Verb("into", "open a shell in a task that runs"),
    "forward": Verb("into", "bring a port of a task that runs to an address of this machine"),
    "metrics": Verb("metrics", "list or export what tasks have reported"),
    "compare": Verb("compare", "put runs side by side: parameters, and what came of them"),
    "pause": Verb("act", "freeze running jobs, or have them save a checkpoint"),
    "resume": Verb("act", "let paused jobs go on"),
    "cancel": Verb("act", "end jobs: TERM, a grace time, KILL"),
    "retry": Verb("act", "run failed, killed or lost tasks again"),
    "hold": Verb("act", "keep waiting jobs from being started"),
    "release": Verb("act", "let held jobs be started"),
    "priority": Verb("act", "change the priority of a waiting job, or of some of its tasks"),
    "move": Verb("queue", "move a waiting job before or after another one of the same standing"),
    "pop": Verb("queue", "take a waiting job off the queue, and print its spec as JSON"),
    "clear": Verb("queue", "cancel all jobs of a project of which nothing has started"),
    "max-parallel": Verb("queue", "change how many tasks of a job run at a time"),
    "add": Verb("add", "add points to a sweep, one that has ended too"),
    "wait": Verb("wait", "wait until jobs have ended; exit code 0 when all have succeeded"),
    "why": Verb("wait", "say why a job stands where it stands, worker by worker"),
    "graph": Verb("graph", "show what a job waits for and what waits for it, as a tree"),
    "worker": Verb("worker", "drain, undrain, revoke or remove workers"),
    "reserve": Verb("reserve", "reserve workers for a project, a person or maintenance; list or cancel that"),
    "remove": Verb("cleaning", "show what is left of ended jobs: results, logs, record; and remove it with --yes"),
    "clean": Verb("cleaning", "show what ended tasks left on workers, and remove it with --yes"),
    "invite": Verb("invite", "print the one line to paste on a new worker; list and take back invitations"),
    "people": Verb("people", "list who may do what here; rename people, or shut them out"),
    "coordinators": Verb(
        "coordinator", "list the coordinators that you have connected to, by name", (), "they are kept on this machine"
    ),
    "coordinator": Verb(
        "coordinator", "choose the default coordinator; rename or forget one", (), "they are kept on this machine"
    ),
    "service": Verb(
        "service",
        "have a coordinator or an agent started at boot",
        (),
        "options stand after the kind, as in `opsconsole service install agent --connect URL`",
    ),
    "serve": Verb("serve", "run a coordinator without a screen", ("data_dir", "config"), "it is the coordinator"),
    "agent": Verb("agent", "run a worker on this machine"),
    "project": Verb("project", "create or change a project; say how much of the fleet it may have"),
    "person": Verb("project", "say how much of the fleet a person may have"),
    "usage": Verb("usage", "list who had what of the fleet, who has what now, and whose turn is next"),
    "template": Verb("template", "make, show or sync templates, and look through their versions"),
    "events": Verb("event", "list who did what, when and why; the newest last"),
    "health": Verb("event", "say how the coordinator is; exit code 0 when it is healthy"),
    "backup": Verb("backup", "copy the coordinator's store to a file while it is in use"),
    "confirm-restore": Verb("backup", "after a restored backup: let the coordinator stop what it doesn't know"),
    "notify": Verb(
        "notify",
        "try out whom the coordinator tells of what: [[notify]] in config.toml",
        ("config",),
        "it is about the file",
    ),
    "config": Verb(
        "config", "print an example of config.toml or its path, or check it", ("config",), "it is about the file"
    ),
}
