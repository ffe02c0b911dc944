"""Inference: using a trained model.

Floor 5: imports from scoring and below; not from evaluation or finetuning.
"""
