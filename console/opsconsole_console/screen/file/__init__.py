"""The files of a worker or a job, and what is in one of them."""
