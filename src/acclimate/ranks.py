"""Where labels stand among all tokens, by what a model says."""

from __future__ import annotations

import torch


def label_ranks(logits_NV: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """[N] how many tokens are likelier than each label: 0 where it is the model's first guess. Of equal ones the one
    with the lower id comes first, as for `argmax`; where the label is no target the rank means nothing."""
    labels_N1 = labels_N.clamp(min=0)[:, None]
    own_N1 = logits_NV.gather(1, labels_N1)
    # Compared into numbers, which are summed five times as fast as truth values.
    compared_NV = torch.empty_like(logits_NV, dtype=torch.float32)
    # What is no number is likelier than any, so that a model that broke down is right nowhere.
    ranks_N = logits_NV.shape[1] - torch.le(logits_NV, own_N1, out=compared_NV).sum(1).long()
    if bool((torch.eq(logits_NV, own_N1, out=compared_NV).sum(1) > 1).any()):
        ids_V = torch.arange(logits_NV.shape[1], device=logits_NV.device)
        ranks_N += ((logits_NV == own_N1) & (ids_V < labels_N1)).sum(1)
    return ranks_N
