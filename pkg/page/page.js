(() => {
  "use strict";
  const left = 46, sides = 46 + 92; // as the style sheet has them

  // The numbers of a time line are those of its table, read once.
  const known = new WeakMap();
  function samples(line) {
    const table = line.querySelector("table.samples");
    if (!table) return null;
    let s = known.get(table);
    if (!s) {
      const rows = [...table.tBodies[0].rows];
      s = {
        rows,
        times: rows.map((r) => +r.dataset.t),
        heads: [...table.tHead.rows[0].cells].slice(1),
        outputs: [...line.querySelectorAll(".panel output")],
      };
      known.set(table, s);
    }
    return s;
  }

  // nearest is the last row that is not after a time.
  function nearest(times, t) {
    let low = 0, high = times.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (times[middle] <= t) low = middle; else high = middle - 1;
    }
    return low;
  }

  // read shows every panel's numbers at one row of the table.
  function read(line, row, at) {
    const s = samples(line);
    if (!s || !s.rows.length) return;
    const from = +line.dataset.from, to = +line.dataset.to;
    const stack = line.querySelector(".stack");
    stack.classList.add("reading");
    stack.style.setProperty("--at", String(Math.min(1, Math.max(0, ((at ?? s.times[row]) - from) / (to - from)))));
    const cells = s.rows[row].cells;
    const spoken = [];
    s.outputs.forEach((output, panel) => {
      const parts = [];
      s.heads.forEach((head, i) => {
        if (+head.dataset.panel !== panel) return;
        const part = document.createElement("span");
        part.className = head.dataset.class;
        part.textContent = head.dataset.short + " " + cells[i + 1].textContent;
        parts.push(part);
        spoken.push(head.textContent + " " + cells[i + 1].textContent);
      });
      const time = document.createElement("span");
      time.className = "soft";
      time.textContent = "at " + cells[0].textContent;
      output.replaceChildren(time, ...parts);
    });
    const range = line.querySelector(".scrub input");
    range.value = row;
    range.setAttribute("aria-valuetext", cells[0].textContent + ": " + spoken.join(", "));
  }

  document.addEventListener("pointermove", (e) => {
    const stack = e.target.closest?.(".stack");
    if (!stack) return;
    const line = stack.closest(".timeline"), s = samples(line);
    if (!s) return;
    const box = stack.getBoundingClientRect();
    const share = (e.clientX - box.left - left) / (box.width - sides);
    if (share < 0 || share > 1) return;
    const from = +line.dataset.from, to = +line.dataset.to;
    const t = from + share * (to - from);
    read(line, nearest(s.times, t), t);
  });

  document.addEventListener("input", (e) => {
    if (e.target.matches?.(".scrub input")) read(e.target.closest(".timeline"), +e.target.value);
  });

  // A decision says why where the pointer is on it, or the focus.
  function tell(button) {
    const line = button.closest(".timeline"), why = line.querySelector(".why");
    why.textContent = button.getAttribute("aria-label");
    why.classList.add("told");
    const s = samples(line);
    if (s) read(line, nearest(s.times, +button.dataset.t), +button.dataset.t);
  }
  document.addEventListener("focusin", (e) => { if (e.target.matches?.(".event")) tell(e.target); });
  document.addEventListener("pointerover", (e) => { if (e.target.matches?.(".event")) tell(e.target); });

  // A lane of decisions is one stop of the tab key; arrows go along it.
  document.addEventListener("keydown", (e) => {
    if (!e.target.matches?.(".event")) return;
    const all = [...e.target.parentElement.children];
    const i = all.indexOf(e.target);
    const next = { ArrowRight: all[i + 1], ArrowLeft: all[i - 1], Home: all[0], End: all[all.length - 1] }[e.key];
    if (!next) return;
    e.preventDefault();
    e.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
})();
