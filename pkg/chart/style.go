package chart

// The colours: paper and ink, three shades between, and one colour for each thing that has a meaning. Blue and orange stay
// apart for the colour-blind too; red is only ever an objective or a budget, violet only ever a move of GPUs.
const (
	lightTokens = `--paper:#ffffff;--ink:#1f2328;--soft:#59636e;--grid:#e4e8ec;--band:#f1f3f6;--prefill:#0969da;--decode:#c94f05;--limit:#cf222e;--move:#8250df;`
	darkTokens  = `--paper:#0d1117;--ink:#e6edf3;--soft:#9198a1;--grid:#242b34;--band:#171d26;--prefill:#58a6ff;--decode:#f0883e;--limit:#ff7b72;--move:#bc8cff;`
)

// Tokens is the style sheet of the colours, by the viewer's preference for light or dark.
const Tokens = ":root{color-scheme:light dark;" + lightTokens + "}\n@media (prefers-color-scheme: dark){:root{" + darkTokens + "}}\n"

// Font is that of the viewer's system: nothing is loaded.
const Font = `-apple-system,BlinkMacSystemFont,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif`

// Rules is the style sheet of what is drawn. It needs Tokens.
//
// Classes of lines: ink, prefill, decode, soft; thin is dotted. Of areas: the same, with pale and wash for less of the
// colour. Of limits: objective and soft. Of bands: move, fault, rule (the beginning of something) and none.
const Rules = `svg.chart{display:block;margin-left:46px;width:calc(100% - 138px)}
svg.chart,svg.panel,svg .plot{overflow:visible}
svg text{font:12px ` + Font + `;fill:var(--ink);font-variant-numeric:tabular-nums}
svg .title{font-size:16px;font-weight:600}
svg .heading{font-weight:600;font-size:13px}
svg .unit,svg .tick{fill:var(--soft)}
svg .unit{font-weight:400}
svg .tick{font-size:11px}
svg .paper{fill:var(--paper)}
svg .grid{stroke:var(--grid);stroke-width:1;fill:none;vector-effect:non-scaling-stroke}
svg .line{fill:none;stroke:var(--ink);stroke-width:1.75;stroke-linejoin:round;vector-effect:non-scaling-stroke}
svg .line.prefill{stroke:var(--prefill)}
svg .line.decode{stroke:var(--decode)}
svg .line.soft{stroke:var(--soft)}
svg .line.trail{stroke:var(--soft);stroke-width:1.25;stroke-opacity:.45}
svg .line.trail.own{stroke:var(--ink);stroke-opacity:1}
svg .line.thin{stroke-width:1.25;stroke-dasharray:2 3}
svg .area{fill:var(--ink);fill-opacity:.72;stroke:none}
svg .area.prefill{fill:var(--prefill)}
svg .area.decode{fill:var(--decode)}
svg .area.soft{fill:var(--soft)}
svg .area.pale{fill-opacity:.3}
svg .area.wash{fill-opacity:.14}
svg .limit{fill:none;stroke:var(--soft);stroke-width:1.25;stroke-dasharray:5 4;vector-effect:non-scaling-stroke}
svg .limit.objective{stroke:var(--limit)}
svg .band{fill:var(--band)}
svg .band.rule{stroke:var(--grid);stroke-width:1;vector-effect:non-scaling-stroke}
svg .band.move{fill:var(--move);fill-opacity:.16}
svg .band.fault{fill:var(--limit);fill-opacity:.12}
svg .band-words{font-size:11px;fill:var(--soft);paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}
svg .band-words.move{fill:var(--move)}
svg .band-words.fault{fill:var(--limit)}
svg .name{font-size:12px}
svg .name.prefill{fill:var(--prefill)}
svg .name.decode{fill:var(--decode)}
svg .name.soft{fill:var(--soft)}
svg .name.objective{fill:var(--limit)}
svg .point circle{fill:var(--paper);stroke:var(--soft);stroke-width:2}
svg .point line{stroke:var(--soft);stroke-width:1;opacity:.6}
svg .point.own circle{fill:var(--ink);stroke:var(--ink)}
svg .point.bound circle{stroke-dasharray:2 2}
svg .point text{fill:var(--soft)}
svg .point.own text{fill:var(--ink);font-weight:600}
svg .point:focus{outline:none}
svg .point:focus-visible circle{stroke:var(--prefill);stroke-width:3}
@media (max-width:640px){svg .minor{display:none}}
`
