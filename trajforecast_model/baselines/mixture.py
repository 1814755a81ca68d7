"""A sparsely gated mixture of experts in place of a transformer's MLP, as Tra-MoE has it (arXiv 2411.14519).

Each token goes to the one expert that the gate likes best. The gate's weight is that of the best expert against the
best two, so that the choice gets a gradient.
"""

import torch
from torch import Tensor, nn


class MixtureOfExperts(nn.Module):
    def __init__(self, dim: int, experts: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.gate = nn.Linear(dim, experts, bias=False)
        self.norm = nn.LayerNorm(dim, bias=False)
        bound = dim**-0.5
        self.expand = nn.Parameter(torch.empty(experts, dim, 4 * dim).uniform_(-bound, bound))
        self.contract = nn.Parameter(torch.empty(experts, 4 * dim, dim).uniform_(-bound / 2, bound / 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, L, D] -> the same, and the mean squared log-sum-exp of the gate's logits, which training keeps small."""
        logits = self.gate(x).float()  # [B, L, experts]
        best_two, chosen = logits.softmax(dim=-1).topk(2, dim=-1)
        weight = best_two[..., :1] / best_two.sum(dim=-1, keepdim=True)
        tokens = self.norm(x).flatten(0, 1)
        chosen = chosen[..., 0].flatten()
        output = torch.zeros_like(tokens)
        for expert in range(len(self.expand)):
            places = (chosen == expert).nonzero().flatten()
            output = output.index_add(0, places, self._expert(expert, tokens[places]).to(output.dtype))
        return weight.to(x.dtype) * output.view_as(x), logits.logsumexp(dim=-1).square().mean()

    def _expert(self, number: int, tokens: Tensor) -> Tensor:
        """[N, D] -> [N, D]"""
        hidden = nn.functional.gelu(tokens @ self.expand[number])
        hidden = nn.functional.dropout(hidden, self.dropout, self.training)
        return nn.functional.dropout(hidden @ self.contract[number], self.dropout, self.training)
