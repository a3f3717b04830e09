"""Whether tallystick can still see: what is judged, what it is called, and what to do about it."""
