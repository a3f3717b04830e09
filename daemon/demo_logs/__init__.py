"""The logs of `tallystick demo`: a synthetic home (`home/`), what it must come to, and the script that wrote both."""
