"""What the agent reads of its host: GPUs, CPU, memory, disks, I/O folders, and what attempts use. All synchronous."""
