(() => {
  "use strict";
  const bar = document.querySelector(".live"), content = document.querySelector("#content");
  if (!bar || !content) return;
  const every = 1000 * bar.dataset.every;
  const asOf = bar.querySelector(".as-of"), word = asOf.querySelector("span"), said = bar.querySelector(".said");
  const button = bar.querySelector("button");
  let paused = false, asking = false;

  // What each part was when it was last taken over: reading and opening change the part, not this.
  const taken = new Map();
  for (const part of content.children) taken.set(part.id, part.outerHTML);

  // busy is a part that someone reads: it waits.
  function busy(part) {
    const at = document.activeElement;
    if (part.contains(at) && at.matches(".event, input, .scroll")) return true;
    return [...part.querySelectorAll(".stack")].some((s) => s.matches(":hover")) || (getSelection().type === "Range" && part.contains(getSelection().anchorNode));
  }

  const key = (d, i) => d.dataset.key || String(i);

  // takeOver puts a new part in the place of the old, as open, as far scrolled and with the same focus.
  function takeOver(old, fresh) {
    const open = new Map([...old.querySelectorAll("details")].map((d, i) => [key(d, i), d.open]));
    fresh.querySelectorAll("details").forEach((d, i) => { if (open.has(key(d, i))) d.open = open.get(key(d, i)); });
    const scrolled = [...old.querySelectorAll(".scroll")].map((s) => [s.scrollLeft, s.scrollTop]);
    const focusable = "a, summary, button, [tabindex]";
    const index = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
    const inside = document.activeElement?.closest("details");
    const name = inside && old.contains(inside) ? inside.dataset.key : null;
    old.replaceWith(fresh);
    fresh.querySelectorAll(".scroll").forEach((s, i) => { if (scrolled[i]) [s.scrollLeft, s.scrollTop] = scrolled[i]; });
    if (index < 0) return;
    const same = name && [...fresh.querySelectorAll("details")].find((d) => d.dataset.key === name);
    (same ? same.querySelector("summary") : fresh.querySelectorAll(focusable)[index])?.focus({ preventScroll: true });
  }

  function show(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const words = () => [...content.querySelectorAll("[data-say]")].map((e) => e.textContent.trim()).join(" ");
    const before = words();
    const fresh = [...template.content.children];
    if (fresh.map((p) => p.id).join() !== [...content.children].map((p) => p.id).join()) {
      content.replaceChildren(...fresh); // another kind of page than before
      taken.clear();
      for (const part of fresh) taken.set(part.id, part.outerHTML);
    }
    let waits = false;
    for (const part of fresh) {
      const old = document.getElementById(part.id), html = part.outerHTML;
      if (taken.get(part.id) === html) continue;
      if (busy(old)) { waits = true; continue; }
      taken.set(part.id, html);
      takeOver(old, part);
    }
    const now = words();
    if (now !== before) said.textContent = now;
    return waits;
  }

  function tell(text, moment) {
    word.textContent = text;
    const time = asOf.querySelector("time");
    if (time && moment) time.textContent = moment;
    asOf.classList.toggle("stale", text !== "Live");
  }

  async function ask() {
    if (paused || asking || document.hidden) return;
    asking = true;
    try {
      const url = new URL(location.href);
      url.searchParams.set("part", "body");
      const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(2 * every + 5000) });
      const html = await answer.text();
      if (paused) { /* it was asked before; what is read stays */ }
      else if (answer.status === 401 || answer.status === 403) tell("Not allowed any more: load the page again");
      else if (!answer.ok) tell("No news: the server answers " + answer.status);
      else {
        const waits = show(html);
        tell(waits ? "Waiting while you read" : "Live", waits ? "" : answer.headers.get("X-As-Of"));
      }
    } catch {
      if (!paused) tell("No news: the server does not answer");
    }
    asking = false;
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    if (paused) tell("Paused"); else ask();
  });
  document.addEventListener("visibilitychange", ask);
  setInterval(ask, every);
})();
