"""What CI checks of the code itself, as tests: so that one command runs everything."""
