"""What a user might train in Quartet's place: training steps in the way of others, to time ours by.

A module for each framework rebuilds them, on the networks of Quartet's scripts. Nothing of the
peers' code is in here, only the shape of their step: which passes they make, in which order, and
with which of the framework's own layers and optimisers. See docs/speed.md.
"""
