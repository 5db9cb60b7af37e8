"""Muon (Jordan et al., 2024, with the scale of Liu et al., arXiv 2502.16982) for matrices and convolutions, AdamW for the
rest. Each process orthogonalizes its share of the matrices."""

import torch
import torch.distributed as dist

# First and last layers, prompts and class vectors do not map between hidden features.
PLAIN = ("conv_in", "conv_in_ref", "conv_out", "prompt_embeds", "head", "quant_conv")
MOMENTUM, WEIGHT_DECAY, CLIP = 0.95, 0.02, 1.0


def orthogonalized(g):
    """The approximate nearest orthogonal matrix of each of [n, r, c]: five Newton-Schulz steps."""
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.mT if tall else x).float()


class Muon:
    def __init__(self, named, rank=0, ranks=1):
        named = list(named)
        is_hidden = lambda n, p: p.ndim >= 2 and not any(word in n.split(".") for word in PLAIN)
        self.hidden = [p for n, p in named if is_hidden(n, p)]
        self.rest = [p for n, p in named if not is_hidden(n, p)]
        self.parameters = self.hidden + self.rest
        self.momentum = [torch.zeros_like(p) for p in self.hidden]
        self.adam = torch.optim.AdamW(self.rest, lr=1.0, betas=(0.9, 0.99), weight_decay=0.0)
        self.rank, self.ranks = rank, ranks
        self.groups = {}
        for i, p in enumerate(self.hidden):
            self.groups.setdefault(p.flatten(1).shape, []).append(i)

    def average_gradients(self):
        for p in self.parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        if self.ranks > 1:
            flat = torch.cat([p.grad.flatten() for p in self.parameters])
            dist.all_reduce(flat)
            flat /= self.ranks
            for p, g in zip(self.parameters, flat.split([p.numel() for p in self.parameters])):
                p.grad.copy_(g.view_as(p))

    @torch.no_grad()
    def step(self, rate):
        torch.nn.utils.clip_grad_norm_(self.rest, CLIP)
        updates = [torch.zeros_like(p) for p in self.hidden]
        load = [0] * self.ranks
        for shape, members in sorted(self.groups.items(), key=lambda g: -g[0].numel() * min(g[0]) * len(g[1])):
            share = load.index(min(load))
            load[share] += shape.numel() * min(shape) * len(members)
            for i in members:
                self.momentum[i].lerp_(self.hidden[i].grad, 1 - MOMENTUM)
            if share != self.rank:
                continue
            ahead = [self.hidden[i].grad.lerp(self.momentum[i], MOMENTUM).flatten(1) for i in members]
            for i, u in zip(members, orthogonalized(torch.stack(ahead)) * (0.2 * max(shape) ** 0.5)):
                updates[i] = u.view_as(self.hidden[i])
        if self.ranks > 1:
            flat = torch.cat([u.flatten() for u in updates])
            dist.all_reduce(flat)
            updates = [u.view_as(p) for u, p in zip(flat.split([p.numel() for p in self.hidden]), self.hidden)]
        for p, u in zip(self.hidden, updates):
            p.mul_(1 - rate * WEIGHT_DECAY).add_(u, alpha=-rate)
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    def state_dict(self):
        return {"momentum": self.momentum, "adam": self.adam.state_dict()}

    def load_state_dict(self, state):
        for mine, theirs in zip(self.momentum, state["momentum"], strict=True):
            mine.copy_(theirs)
        self.adam.load_state_dict(state["adam"])
