"""The jobs before and after a job."""
