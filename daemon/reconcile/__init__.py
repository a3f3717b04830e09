"""`tallystick reconcile`: what the disk, the log and the tables say, held against each other."""
