"""opsconsole."""
