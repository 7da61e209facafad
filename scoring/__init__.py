"""Score statements between states for escalation."""
