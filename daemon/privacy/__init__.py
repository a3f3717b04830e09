"""What may be stored, and the proof that nothing else is."""
