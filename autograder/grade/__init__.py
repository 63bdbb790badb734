"""From a hand-in to a judged grade: intake, rebuild, judge, gradebook."""
