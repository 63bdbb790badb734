"""What the course promises and what our models show: one function a row, measured anew by `course results`."""
