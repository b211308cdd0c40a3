package chart

// style has two sets of colours; the viewer's preference chooses. Blue and orange stay apart for the colour-blind too.
const style = `
    svg { --paper:#ffffff; --ink:#1f2328; --soft:#59636e; --grid:#d8dee4; --band:#f3f5f8; --prefill:#0969da; --decode:#d4570a; --limit:#cf222e; --move:#8250df; }
    @media (prefers-color-scheme: dark) {
      svg { --paper:#0d1117; --ink:#e6edf3; --soft:#9198a1; --grid:#2a313a; --band:#161c24; --prefill:#58a6ff; --decode:#f0883e; --limit:#ff7b72; --move:#bc8cff; }
    }
    text { font: 12px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: var(--ink); }
    .title { font-size: 16px; font-weight: 600; }
    .name { font-weight: 600; }
    .soft { fill: var(--soft); }
    .tick { fill: var(--soft); font-size: 11px; }
    .paper { fill: var(--paper); }
    .band { fill: var(--band); }
    .grid { stroke: var(--grid); stroke-width: 1; fill: none; }
    .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
    .thin { fill: none; stroke-width: 1.2; stroke-dasharray: 2 3; }
    .prefill { stroke: var(--prefill); }
    .decode { stroke: var(--decode); }
    .ink { stroke: var(--ink); }
    .area { opacity: .55; }
    .prefill-fill { fill: var(--prefill); }
    .decode-fill { fill: var(--decode); }
    .limit { stroke: var(--limit); stroke-width: 1.5; stroke-dasharray: 6 4; fill: none; }
    .fixed { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 2 4; fill: none; }
    .limit-text { fill: var(--limit); font-size: 11px; }
    .move { fill: var(--move); opacity: .16; stroke: var(--paper); stroke-width: 2; }
    .move-text { fill: var(--move); font-size: 11px; font-weight: 600; }`
