// What a page says about itself, measured by its own layout.
(() => {
  for (const d of document.querySelectorAll("details.policy")) d.open = true;
  const out = { overflow: document.documentElement.scrollWidth - innerWidth, flat: [], nameless: [], small: [], faint: [] };
  const charts = [...document.querySelectorAll("svg.chart:not(.axis)")];
  out.charts = charts.length;
  for (const c of charts) {
    const box = c.getBoundingClientRect();
    const title = c.querySelector("title"), says = c.querySelector("desc");
    const name = title ? title.textContent : c.outerHTML.slice(0, 60);
    if (box.width < 150 || box.height < 40) out.flat.push(`${name} is ${box.width} x ${box.height}`);
    if (!/^(img|group)$/.test(c.getAttribute("role")) || !title?.textContent || !says?.textContent) out.nameless.push(name);
    for (const p of c.querySelectorAll(".line:not(.trail), .area")) if (!(p.getTotalLength() > 10)) out.flat.push(`${name}: ${p.getAttribute("class")}`);
  }
  const rgb = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => {
    const f = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  out.paper = getComputedStyle(document.body).backgroundColor;
  const paper = luminance(rgb(out.paper));
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walk.nextNode()); ) {
    const e = n.parentElement;
    if (!n.data.trim() || e.closest("script, style, title, desc, .scrub span") || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), inSVG = e instanceof SVGElement;
    const size = parseFloat(style.fontSize) * (inSVG ? e.getScreenCTM().a : 1);
    if (size < 10.99) out.small.push(`${n.data.trim()} (${size} px)`);
    const ink = luminance(rgb(inSVG ? style.fill : style.color));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5) out.faint.push(`${n.data.trim()} (${contrast.toFixed(2)} to 1)`);
  }
  const some = (list) => [...new Set(list)].slice(0, 5);
  Object.assign(out, { flat: some(out.flat), small: some(out.small), faint: some(out.faint), nameless: some(out.nameless) });
  out.loaded = performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:"));
  return out;
})()
