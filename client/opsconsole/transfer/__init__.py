"""Files that go from the user's machine to the fleet, and come back."""
