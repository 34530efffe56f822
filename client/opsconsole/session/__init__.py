"""Into running tasks: programs, shells and ports, over streams."""
