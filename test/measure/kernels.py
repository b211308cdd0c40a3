"""The kernels between the matrix products, in Triton: what a lean engine fuses, and nothing more.

Shapes: n rows (tokens of a prompt, or sequences of a decode step), H hidden, NQ and NK query and KV heads of D.
Every cache is [batch, NK, capacity, D]; MLA's is [batch, capacity, rank + rope].
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _add_norm(x, r, w, out, H, HAS_X: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK)
    m = c < H
    v = tl.load(r + row * H + c, mask=m, other=0.0).to(tl.float32)
    if HAS_X:
        v += tl.load(x + row * H + c, mask=m, other=0.0).to(tl.float32)
        tl.store(r + row * H + c, v.to(r.dtype.element_ty), mask=m)
    s = tl.math.rsqrt(tl.sum(v * v, axis=0) / H + 1e-6)
    v = v * s * tl.load(w + c, mask=m, other=0.0).to(tl.float32)
    tl.store(out + row * H + c, v.to(out.dtype.element_ty), mask=m)


def add_norm(x, r, w, dtype):
    """r += x (x may be None), and the RMS norm of r times w, as dtype."""
    out = torch.empty(r.shape, dtype=dtype, device=r.device)
    h = r.shape[1]
    _add_norm[(r.shape[0],)](r if x is None else x, r, w, out, h, HAS_X=x is not None, BLOCK=triton.next_power_of_2(h), num_warps=8)
    return out


@triton.jit
def _silu_mul(x, out, F, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    m = c < F
    g = tl.load(x + row * 2 * F + c, mask=m, other=0.0).to(tl.float32)
    u = tl.load(x + row * 2 * F + F + c, mask=m, other=0.0).to(tl.float32)
    tl.store(out + row * F + c, (g / (1 + tl.exp(-g)) * u).to(out.dtype.element_ty), mask=m)


def silu_mul(x, dtype):
    """silu(gate) * up of rows that hold gate, then up."""
    n, f = x.shape[0], x.shape[1] // 2
    out = torch.empty((n, f), dtype=dtype, device=x.device)
    block = min(2048, triton.next_power_of_2(f))
    _silu_mul[(n, triton.cdiv(f, block))](x, out, f, BLOCK=block, num_warps=4)
    return out


@triton.jit
def _norm_rope(src, w, c, s, heads, H: tl.constexpr, HALF: tl.constexpr):
    """The two rotated halves of H normed heads that lie in a row at src."""
    h = tl.arange(0, H)
    d = tl.arange(0, HALF)
    m = (h < heads)[:, None]
    at = src + h[:, None] * (2 * HALF) + d[None, :]
    a = tl.load(at, mask=m, other=0.0).to(tl.float32)
    b = tl.load(at + HALF, mask=m, other=0.0).to(tl.float32)
    norm = tl.math.rsqrt((tl.sum(a * a, axis=1) + tl.sum(b * b, axis=1)) / (2 * HALF) + 1e-6)[:, None]
    a = a * norm * tl.load(w + d).to(tl.float32)[None, :]
    b = b * norm * tl.load(w + HALF + d).to(tl.float32)[None, :]
    return a * c[None, :] - b * s[None, :], b * c[None, :] + a * s[None, :]


@triton.jit
def _rope(qkv, qw, kw, cos, sin, q, kc, vc, at, cap, sb,
          NQ: tl.constexpr, NK: tl.constexpr, NQP: tl.constexpr, NKP: tl.constexpr, HALF: tl.constexpr, PROMPT: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    D: tl.constexpr = 2 * HALF
    if PROMPT:
        pos = row + at
        base = pos * D
    else:
        pos = row * 0 + at
        base = row * sb + pos * D
    d = tl.arange(0, HALF)
    c = tl.load(cos + pos * HALF + d)
    s = tl.load(sin + pos * HALF + d)
    src = qkv + row * (NQ + 2 * NK) * D
    x, y = _norm_rope(src, qw, c, s, NQ, NQP, HALF)
    h = tl.arange(0, NQP)
    to = q + row * NQ * D + h[:, None] * D + d[None, :]
    tl.store(to, x.to(q.dtype.element_ty), mask=(h < NQ)[:, None])
    tl.store(to + HALF, y.to(q.dtype.element_ty), mask=(h < NQ)[:, None])
    x, y = _norm_rope(src + NQ * D, kw, c, s, NK, NKP, HALF)
    h = tl.arange(0, NKP)
    m = (h < NK)[:, None]
    to = base + h[:, None].to(tl.int64) * cap * D + d[None, :]
    tl.store(kc + to, x.to(kc.dtype.element_ty), mask=m)
    tl.store(kc + to + HALF, y.to(kc.dtype.element_ty), mask=m)
    v = src + (NQ + NK) * D + h[:, None] * D + d[None, :]
    tl.store(vc + to, tl.load(v, mask=m, other=0.0), mask=m)
    tl.store(vc + to + HALF, tl.load(v + HALF, mask=m, other=0.0), mask=m)


def rope(qkv, qw, kw, cos, sin, kc, vc, at, nq, nk, d, prompt):
    """Norms and rotates queries and keys; writes K and V to the caches at position `at` (+ row, for a prompt); returns q."""
    n, cap = qkv.shape[0], kc.shape[2]
    q = torch.empty((n, nq, d), dtype=qkv.dtype, device=qkv.device)
    _rope[(n,)](qkv, qw, kw, cos, sin, q, kc, vc, at, cap, nk * cap * d, NQ=nq, NK=nk, NQP=triton.next_power_of_2(nq),
                NKP=triton.next_power_of_2(nk), HALF=d // 2, PROMPT=prompt, num_warps=4)
    return q


@triton.jit
def _decode(q, kc, vc, part, lse, ctx, sb, sh, scale, splits, chunk,
            G: tl.constexpr, GP: tl.constexpr, D: tl.constexpr, BN: tl.constexpr):
    b = tl.program_id(0).to(tl.int64)
    h = tl.program_id(1)
    s = tl.program_id(2)
    nk = tl.num_programs(1)
    g = tl.arange(0, GP)
    d = tl.arange(0, D)
    head = b * nk * G + h * G + g
    qv = tl.load(q + head[:, None] * D + d[None, :], mask=(g < G)[:, None], other=0.0)
    base = b * sb + h.to(tl.int64) * sh
    start = s * chunk
    end = tl.minimum(start + chunk, ctx)
    m = tl.full([GP], -1e30, tl.float32)
    total = tl.zeros([GP], tl.float32)
    acc = tl.zeros([GP, D], tl.float32)
    for i in range(start, end, BN):
        t = i + tl.arange(0, BN)
        k = tl.load(kc + base + t[None, :] * D + d[:, None], mask=(t < end)[None, :], other=0.0).to(qv.dtype)
        score = tl.dot(qv, k) * scale
        score = tl.where((t < end)[None, :], score, -1e30)
        top = tl.maximum(m, tl.max(score, axis=1))
        p = tl.math.exp2(score - top[:, None])
        fade = tl.math.exp2(m - top)
        total = total * fade + tl.sum(p, axis=1)
        v = tl.load(vc + base + t[:, None] * D + d[None, :], mask=(t < end)[:, None], other=0.0).to(qv.dtype)
        acc = acc * fade[:, None] + tl.dot(p.to(qv.dtype), v)
        m = top
    to = head * splits + s
    tl.store(part + to[:, None] * D + d[None, :], acc / total[:, None], mask=(g < G)[:, None])
    tl.store(lse + to, m + tl.math.log2(total), mask=g < G)


@triton.jit
def _combine(part, lse, out, splits, SP: tl.constexpr, D: tl.constexpr):
    head = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, D)
    s = tl.arange(0, SP)
    l = tl.load(lse + head * splits + s, mask=s < splits, other=-1e30)
    top = tl.max(l, axis=0)
    total = tl.sum(tl.math.exp2(l - top), axis=0)
    acc = tl.zeros([D], tl.float32)
    for i in range(splits):
        w = tl.math.exp2(tl.load(lse + head * splits + i) - top) / total
        acc += w * tl.load(part + (head * splits + i) * D + d)
    tl.store(out + head * D + d, acc.to(out.dtype.element_ty))


LOG2E = 1.4426950408889634


def pick_splits(programs, ctx, sms, waves, block):
    """How many parts a context is cut into so that `programs` times as many fill the chip `waves` times; and a part's tokens."""
    want = max(1, -(-sms * waves // programs))
    chunk = max(block, -(-ctx // want))
    chunk = -(-chunk // block) * block
    return -(-ctx // chunk), chunk


def decode_attention(q, kc, vc, ctx, sms, dtype, bn=64, warps=4, stages=3, waves=4):
    """One query per sequence against the first ctx tokens of its cache, the context split over programs."""
    batch, nq, d = q.shape
    nk, cap = kc.shape[1], kc.shape[2]
    splits, chunk = pick_splits(batch * nk, ctx, sms, waves, bn)
    part = torch.empty((batch * nq, splits, d), dtype=torch.float32, device=q.device)
    lse = torch.empty((batch * nq, splits), dtype=torch.float32, device=q.device)
    out = torch.empty((batch, nq * d), dtype=dtype, device=q.device)
    _decode[(batch, nk, splits)](q, kc, vc, part, lse, ctx, nk * cap * d, cap * d, LOG2E / d ** 0.5, splits, chunk, G=nq // nk,
                                 GP=max(16, triton.next_power_of_2(nq // nk)), D=d, BN=bn, num_warps=warps, num_stages=stages)
    _combine[(batch * nq,)](part, lse, out, splits, SP=triton.next_power_of_2(splits), D=d, num_warps=1)
    return out


@triton.jit
def _decode_latent(q, cache, part, lse, ctx, sb, scale, splits, chunk, heads,
                   HP: tl.constexpr, R: tl.constexpr, ROPE: tl.constexpr, BN: tl.constexpr):
    b = tl.program_id(0).to(tl.int64)
    s = tl.program_id(1)
    W: tl.constexpr = R + ROPE
    h = tl.program_id(2) * HP + tl.arange(0, HP)
    r = tl.arange(0, R)
    e = tl.arange(0, ROPE)
    head = b * heads + h
    ok = h < heads
    ql = tl.load(q + head[:, None] * W + r[None, :], mask=ok[:, None], other=0.0)
    qr = tl.load(q + head[:, None] * W + R + e[None, :], mask=ok[:, None], other=0.0)
    base = b * sb
    start = s * chunk
    end = tl.minimum(start + chunk, ctx)
    m = tl.full([HP], -1e30, tl.float32)
    total = tl.zeros([HP], tl.float32)
    acc = tl.zeros([HP, R], tl.float32)
    for i in range(start, end, BN):
        t = i + tl.arange(0, BN)
        ok_t = t < end
        lat = tl.load(cache + base + t[:, None] * W + r[None, :], mask=ok_t[:, None], other=0.0)
        kr = tl.load(cache + base + t[None, :] * W + R + e[:, None], mask=ok_t[None, :], other=0.0)
        score = tl.dot(ql, tl.trans(lat))
        score = tl.dot(qr, kr, score) * scale
        score = tl.where(ok_t[None, :], score, -1e30)
        top = tl.maximum(m, tl.max(score, axis=1))
        p = tl.math.exp2(score - top[:, None])
        fade = tl.math.exp2(m - top)
        total = total * fade + tl.sum(p, axis=1)
        acc = acc * fade[:, None] + tl.dot(p.to(lat.dtype), lat)
        m = top
    to = head * splits + s
    tl.store(part + to[:, None] * R + r[None, :], acc / total[:, None], mask=ok[:, None])
    tl.store(lse + to, m + tl.math.log2(total), mask=ok)


def decode_latent(q, cache, ctx, width, sms, bn=32, warps=4, stages=2, waves=2):
    """MLA's decode attention: q [batch, heads, rank + rope] against the latents themselves; width is of a score head."""
    batch, heads, w = q.shape
    rank = 512
    splits, chunk = pick_splits(batch * -(-heads // 16), ctx, sms, waves, bn)
    part = torch.empty((batch * heads, splits, rank), dtype=torch.float32, device=q.device)
    lse = torch.empty((batch * heads, splits), dtype=torch.float32, device=q.device)
    out = torch.empty((batch, heads, rank), dtype=q.dtype, device=q.device)
    _decode_latent[(batch, splits, -(-heads // 16))](q, cache, part, lse, ctx, cache.shape[1] * w, LOG2E / width ** 0.5, splits, chunk, heads,
                                                    HP=16, R=rank, ROPE=w - rank, BN=bn, num_warps=warps, num_stages=stages)
    _combine[(batch * heads,)](part, lse, out, splits, SP=triton.next_power_of_2(splits), D=rank, num_warps=2)
    return out


@triton.jit
def _rope_only(src, dst, cos, sin, at, s_row, s_head, d_row, d_head, HALF: tl.constexpr, PROMPT: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    pos = row * 0 + at
    if PROMPT:
        pos = row + at
    d = tl.arange(0, HALF)
    c = tl.load(cos + pos * HALF + d)
    s = tl.load(sin + pos * HALF + d)
    a = tl.load(src + row * s_row + head * s_head + d).to(tl.float32)
    b = tl.load(src + row * s_row + head * s_head + HALF + d).to(tl.float32)
    tl.store(dst + row * d_row + head * d_head + d, (a * c - b * s).to(dst.dtype.element_ty))
    tl.store(dst + row * d_row + head * d_head + HALF + d, (b * c + a * s).to(dst.dtype.element_ty))


def rope_only(src, dst, cos, sin, at, prompt):
    """Rotates src [rows, heads, width] (any strides, the last 1) into dst of the same shape."""
    _rope_only[(src.shape[0], src.shape[1])](src, dst, cos, sin, at, src.stride(0), src.stride(1), dst.stride(0), dst.stride(1),
                                             HALF=src.shape[2] // 2, PROMPT=prompt, num_warps=1)


@triton.jit
def _norm_rows(src, dst, w, s_row, d_row, W: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, W)
    v = tl.load(src + row * s_row + c).to(tl.float32)
    v = v * tl.math.rsqrt(tl.sum(v * v, axis=0) / W + 1e-6) * tl.load(w + c).to(tl.float32)
    tl.store(dst + row * d_row + c, v.to(dst.dtype.element_ty))


def norm_rows(src, dst, w):
    """RMS norm of rows whose width is a power of two; src and dst may be parts of wider rows."""
    _norm_rows[(src.shape[0],)](src, dst, w, src.stride(0), dst.stride(0), W=src.shape[1], num_warps=4)
