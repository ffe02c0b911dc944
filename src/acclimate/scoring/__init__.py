"""Scoring: losses of a model on stored held-out examples, by document, and paired bootstrap intervals.

Floor 4: imports from objectives, models and below; not from training.
"""
