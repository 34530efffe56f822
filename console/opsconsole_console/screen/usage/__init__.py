"""The usage screen."""
