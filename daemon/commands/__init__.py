"""What may be typed behind `tallystick`: each command's options, and the verb that it calls."""
