"""What makes the survey: environments, runs of the gate, pages. Python's standard library only."""
