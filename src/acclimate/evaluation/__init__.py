"""Evaluation: what continued pretraining gained on the documents, and what was forgotten of general text.

Floor 5: imports from scoring, training and below; not from finetuning or inference.
"""
