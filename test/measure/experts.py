"""A mixture of experts: routing, the grouping of rows by expert, and the grouped matrix product, in Triton.

Random weights do not route like trained ones, so the choice of experts comes from noise: Gumbel noise gives even routing,
and with the logarithm of a Zipf law added, skewed routing (top-k of it is a draw without replacement by that law).
"""

import math

import torch
import triton
import triton.language as tl


def routing_noise(rows, experts, device):
    """Gumbel noise: the top k of a row, with a layer's law added, are a draw by that law."""
    return -torch.log(-torch.log(torch.rand((rows, experts), device=device).clamp_(1e-9, 1 - 1e-7)))


def routing_law(layers, experts, exponent, device):
    """The logarithm of p(e) ~ 1/rank(e)^exponent for each layer, which favour different experts; 0 is even routing."""
    law = -exponent * torch.log(torch.arange(1, experts + 1, device=device, dtype=torch.float32))
    return torch.stack([law[torch.randperm(experts, device=device)] for _ in range(layers)])


@triton.jit
def _route(logits, noise, law, row0, chosen, weights, sums, ranks, counts, E: tl.constexpr, K: tl.constexpr):
    t = tl.program_id(0)
    e = tl.arange(0, E)
    x = tl.load(logits + t * E + e).to(tl.float32) * 1e-3 + tl.load(noise + (row0 + t) * E + e) + tl.load(law + e)
    first = tl.max(x, axis=0)
    total = 0.0
    for j in tl.static_range(K):
        top = tl.max(x, axis=0)
        i = tl.argmax(x, axis=0)
        w = tl.exp(top - first)
        total += w
        tl.store(chosen + t * K + j, i)
        tl.store(weights + t * K + j, w)
        tl.store(ranks + t * K + j, tl.atomic_add(counts + i, 1))
        x = tl.where(e == i, -1e30, x)
    tl.store(sums + t, total)


@triton.jit
def _ends(counts, ends, BM: tl.constexpr, E: tl.constexpr):
    e = tl.arange(0, E)
    blocks = (tl.load(counts + e) + BM - 1) // BM
    tl.store(ends + e, tl.cumsum(blocks, axis=0))


@triton.jit
def _scatter(chosen, ranks, counts, ends, order, total, BM: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < total
    e = tl.load(chosen + i, mask=m, other=0)
    first = tl.load(ends + e, mask=m, other=0) - (tl.load(counts + e, mask=m, other=0) + BM - 1) // BM
    tl.store(order + first * BM + tl.load(ranks + i, mask=m, other=0), i, mask=m)


@triton.jit
def _grouped(a, b, c, order, counts, ends, N, K, SHARE: tl.constexpr, E: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    tiles = tl.cdiv(N, BN)
    pm = tl.program_id(0) // tiles
    pn = tl.program_id(0) % tiles
    e = tl.arange(0, E)
    expert = tl.sum((tl.load(ends + e) <= pm).to(tl.int32), axis=0)
    if expert < E:
        count = tl.load(counts + expert)
        first = tl.load(ends + expert) - (count + BM - 1) // BM
        r = (pm - first) * BM + tl.arange(0, BM)
        ok = r < count
        row = tl.load(order + first * BM + r, mask=ok, other=0)
        n = pn * BN + tl.arange(0, BN)
        k = tl.arange(0, BK)
        pa = a + (row // SHARE).to(tl.int64)[:, None] * K + k[None, :]
        pb = b + expert.to(tl.int64) * N * K + n[None, :] * K + k[:, None]
        acc = tl.zeros([BM, BN], tl.float32)
        for i in range(0, K, BK):
            x = tl.load(pa + i, mask=ok[:, None], other=0.0)
            y = tl.load(pb + i, mask=(n < N)[None, :], other=0.0)
            acc = tl.dot(x, y, acc)
        tl.store(c + row.to(tl.int64)[:, None] * N + n[None, :], acc.to(c.dtype.element_ty), mask=ok[:, None] & (n < N)[None, :])


@triton.jit
def _gather_sum(y, weights, sums, out, H, K: tl.constexpr, BLOCK: tl.constexpr):
    t = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    m = c < H
    acc = tl.zeros([BLOCK], tl.float32)
    for j in tl.static_range(K):
        acc += tl.load(weights + t * K + j) * tl.load(y + (t * K + j) * H + c, mask=m, other=0.0).to(tl.float32)
    tl.store(out + t * H + c, (acc / tl.load(sums + t)).to(out.dtype.element_ty), mask=m)


# Tiles: (rows, columns, depth, warps, stages).
TILES = [(16, 64, 128, 4, 4), (16, 128, 128, 4, 4), (32, 128, 64, 4, 4), (64, 128, 64, 4, 4), (128, 128, 64, 8, 4), (128, 256, 64, 8, 3)]


def mixture(x, logits, noise, law, row0, counts, w1, w2, k, tile, act):
    """The experts' part of a layer: x [n, H]; w1 [E, 2F, H]; w2 [E, H, F]; counts [E] int32, zeroed before."""
    n, h = x.shape
    experts, wide = w1.shape[0], w1.shape[1]
    bm, bn, bk, warps, stages = tile
    rows = n * k
    ints = lambda size: torch.empty(size, dtype=torch.int32, device=x.device)
    chosen, ranks, ends = ints(rows), ints(rows), ints(experts)
    blocks = min(rows, experts) + rows // bm
    order = ints(blocks * bm)
    weights = torch.empty(rows, dtype=torch.float32, device=x.device)
    sums = torch.empty(n, dtype=torch.float32, device=x.device)
    _route[(n,)](logits, noise, law, row0, chosen, weights, sums, ranks, counts, E=experts, K=k, num_warps=1)
    _ends[(1,)](counts, ends, BM=bm, E=experts, num_warps=1)
    _scatter[(triton.cdiv(rows, 256),)](chosen, ranks, counts, ends, order, rows, BM=bm, BLOCK=256, num_warps=4)
    up = torch.empty((rows, wide), dtype=x.dtype, device=x.device)
    _grouped[(blocks * triton.cdiv(wide, bn),)](x, w1, up, order, counts, ends, wide, h, SHARE=k, E=experts, BM=bm, BN=bn, BK=bk,
                                               num_warps=warps, num_stages=stages)
    hidden = act(up, x.dtype)
    down = torch.empty((rows, h), dtype=x.dtype, device=x.device)
    _grouped[(blocks * triton.cdiv(h, bn),)](hidden, w2, down, order, counts, ends, h, wide // 2, SHARE=1, E=experts, BM=bm, BN=bn, BK=bk,
                                            num_warps=warps, num_stages=stages)
    out = torch.empty_like(x)
    block = min(1024, triton.next_power_of_2(h))
    _gather_sum[(n, triton.cdiv(h, block))](down, weights, sums, out, h, K=k, BLOCK=block, num_warps=4)
    return out


def reference(x, logits, noise, law, row0, w1, w2, k):
    """mixture in plain float32, for a check."""
    score = logits.float() * 1e-3 + noise[row0:row0 + x.shape[0]] + law
    top, chosen = score.topk(k, dim=1)
    weight = torch.softmax(top, dim=1)
    out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for j in range(k):
        for t in range(x.shape[0]):
            e = chosen[t, j]
            gate, up = (w1[e].float() @ x[t].float()).chunk(2)
            out[t] += weight[t, j] * (w2[e].float() @ (torch.nn.functional.silu(gate) * up))
    return out


def expected_share(experts, k, n):
    """The share of the experts that n tokens touch under even routing."""
    return 1 - math.pow(1 - k / experts, n)
