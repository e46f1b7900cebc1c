"""Exercises: scripts with parts taken out, and a grader that compares numbers with the answer's."""
