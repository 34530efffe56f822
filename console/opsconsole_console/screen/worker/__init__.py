"""One worker: its GPUs, tasks, folders and history."""
