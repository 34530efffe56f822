"""Progress and metrics of scripts that report nothing: what they print is recognised, and becomes lines of their report."""
