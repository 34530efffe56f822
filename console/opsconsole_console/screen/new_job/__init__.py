"""The dialog that makes a job, with every worker's answer beside it."""
