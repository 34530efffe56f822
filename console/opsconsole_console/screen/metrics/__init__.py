"""Who may do what, and which invitations are open."""
