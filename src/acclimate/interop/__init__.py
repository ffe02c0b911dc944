"""For training scripts of other people's making (floor 6): examples, collators, losses and a mixin for their Trainer.

The public names of this package are `acclimate.examples_for`, `Examples`, `prepare`, `ObjectiveTrainerMixin` and
`MaskingCollator`.
"""
