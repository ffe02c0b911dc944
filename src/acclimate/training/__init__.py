"""Training: the Hugging Face `Trainer` with an objective plugged in.

Floor 4: imports from objectives, models and below; not from scoring.
"""
