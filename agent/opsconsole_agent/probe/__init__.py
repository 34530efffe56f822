"""What is looked at on the host: GPUs, the host itself, what attempts use, I/O paths, free ports. All synchronous."""
