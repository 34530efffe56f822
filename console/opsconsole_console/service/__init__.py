"""What the console does below its screens: the link to a fleet, its logs, operations on it, and files of the console's own."""
