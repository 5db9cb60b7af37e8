"""The guided filter (He, Sun and Tang, "Guided Image Filtering", IEEE TPAMI 35, 2013, section 3.4), which takes a map's
outlines from the colours of the picture: a check of shaders/guided_filter.wgsl, and a part of the loss in tools/train."""

import torch
import torch.nn.functional as F

PAIRS = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]


def means(x, radius):
    """Means over windows of 2 radius + 1 pixels a side, cut off at the picture's edge; x [B, C, H, W]."""
    side = 2 * radius + 1
    x = F.avg_pool2d(x, (side, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, side), 1, (0, radius), count_include_pad=False)


def guided_filter(map, guide, radius, epsilon):
    """map [B, H, W] of any range; guide [B, 3, H, W]; `epsilon` is added to the guide's variances. Differentiable in the map.
    Computed in f64, because differences of means of products, and cofactors, lose all f32 digits in grey windows."""
    result, map, guide = map.dtype, map.double(), guide.double()
    with torch.no_grad():
        products = torch.stack([guide[:, j] * guide[:, k] for j, k in PAIRS], 1)
        of_guide = means(torch.cat([guide, products], 1), radius)
        mean = of_guide[:, :3]
        variances = of_guide[:, 3:] - torch.stack([mean[:, j] * mean[:, k] for j, k in PAIRS], 1)
        xx, xy, xz, yy, yz, zz = variances.unbind(1)
        xx, yy, zz = xx + epsilon, yy + epsilon, zz + epsilon
        a, b, c = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
        d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
        determinant = xx * a + xy * b + xz * c
    with_map = means(torch.cat([map[:, None], guide * map[:, None]], 1), radius)
    x, y, z = (with_map[:, 1:] - mean * with_map[:, :1]).unbind(1)
    slopes = torch.stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z], 1) / determinant[:, None]
    offset = with_map[:, 0] - (slopes * mean).sum(1)
    over = means(torch.cat([slopes, offset[:, None]], 1), radius)
    return ((over[:, :3] * guide).sum(1) + over[:, 3]).to(result)
