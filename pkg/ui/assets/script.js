// The script of rollspan's page. What is shown is worked out by the server; the script moves it.
// All text goes into the page as text: nothing here makes HTML of it, and the page's policy
// (Trusted Types) would not let it.
"use strict";

// ---- Light and dark: before anything is drawn.
const themes = ["auto", "light", "dark"];
const stored = {
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* it lasts as long as the page */ } },
};
let theme = themes.includes(stored.get("theme")) ? stored.get("theme") : "auto";
function applyTheme() {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme-button");
  if (button) {
    const word = document.createElement("span");
    word.className = "hidden-narrow";
    word.textContent = " " + theme;
    button.replaceChildren({ auto: "◐", light: "☀", dark: "☾" }[theme], word);
    button.setAttribute("aria-label", "Theme: " + theme);
  }
}
function nextTheme() {
  theme = themes[(themes.indexOf(theme) + 1) % themes.length];
  stored.set("theme", theme);
  applyTheme();
}
applyTheme();

// ---- Small things.
const svgNS = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
function make(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}
function draw(tag, className, attributes) {
  const e = document.createElementNS(svgNS, tag);
  if (className) e.setAttribute("class", className);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  return e;
}
function titled(e, text) {
  const t = draw("title");
  t.textContent = text;
  e.append(t);
  return e;
}
// took is a duration in milliseconds, worded as the server words it.
function took(ms) {
  const sign = ms < 0 ? "−" : "";
  ms = Math.abs(ms);
  if (ms < 1000) return sign + Math.round(ms) + " ms";
  if (ms < 60e3) return sign + (ms / 1000).toFixed(1) + " s";
  const two = (n) => String(n).padStart(2, "0");
  if (ms < 3600e3) { const s = Math.round(ms / 1000); return `${sign}${Math.floor(s / 60)} m ${two(s % 60)} s`; }
  if (ms < 48 * 3600e3) { const m = Math.round(ms / 60e3); return `${sign}${Math.floor(m / 60)} h ${two(m % 60)} m`; }
  return `${sign}${Math.floor(ms / 86400e3)} d ${two(Math.floor(ms / 3600e3) % 24)} h`;
}
// ahead is by how many milliseconds the server's clock is ahead of the browser's, which may be
// hours off. What it says is a second old at most, so a small difference is none.
let ahead = 0;
function setClock(answer) {
  const by = Date.parse(answer.headers.get("Date")) - Date.now();
  ahead = Math.abs(by) > 3000 ? by : 0;
}
function ago(stamp) {
  const s = Math.floor((Date.now() + ahead - Date.parse(stamp)) / 1000);
  if (!(s >= 0)) return "";
  if (s < 60) return s + " s ago";
  if (s < 3600) return Math.floor(s / 60) + " min ago";
  if (s < 48 * 3600) return Math.floor(s / 3600) + " h ago";
  return Math.floor(s / 86400) + " d ago";
}
// word keeps a class to letters: phases and outcomes come from a table of the server.
const word = (s) => String(s).replace(/[^a-z_]/g, "");
let said = "";
function say(text) {
  const live = byId("live");
  if (live && text !== said) live.textContent = said = text;
}
// poll asks for JSON again and again while the page is looked at, and calls back when it is
// another.
function poll(address, every, changed) {
  let tag = "", running = false;
  const ask = async () => {
    if (running || document.hidden) return;
    running = true;
    try {
      const answer = await fetch(address(), { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
      setClock(answer);
      if (answer.status >= 500) throw new Error(answer.statusText);
      if (answer.status === 200) {
        tag = answer.headers.get("ETag") || "";
        changed(await answer.json());
      } else if (answer.status === 401 || answer.status === 404) location.reload();
      document.body.classList.remove("away");
    } catch { document.body.classList.add("away"); }
    running = false;
  };
  document.addEventListener("visibilitychange", ask);
  const timer = setInterval(ask, every);
  ask();
  return () => { clearInterval(timer); document.removeEventListener("visibilitychange", ask); };
}
function outcomeOf(o) {
  const e = make("span", "outcome o-" + word(o.class));
  const mark = make("span", "", o.mark);
  mark.setAttribute("aria-hidden", "true");
  e.append(mark, " " + o.word);
  return e;
}

// ---- The list.
function listPage() {
  const open = byId("open"), done = byId("done"), model = byId("row");
  if (!model) return;
  const fill = (row) => {
    const tr = model.content.cloneNode(true).querySelector("tr");
    const at = (name) => tr.querySelector(`[data-f="${name}"]`);
    at("outcome").replaceChildren(outcomeOf(row.outcome));
    at("link").setAttribute("href", row.address);
    for (const name of ["namespace", "name", "kind", "change", "subject", "began", "took", "most", "slower", "why"]) at(name).textContent = row[name];
    at("began").setAttribute("datetime", row.stamp);
    at("ago").textContent = ago(row.stamp);
    const bar = draw("svg", "phases", { "aria-hidden": "true" });
    for (const p of row.phases || []) bar.append(titled(draw("rect", "ph-" + word(p.phase), { x: p.from + "%", width: p.width + "%", height: "100%" }), p.title));
    at("phases").replaceChildren(bar);
    return tr;
  };
  const put = (body, rows) => {
    const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    body.replaceChildren(...(rows || []).map(fill));
    if (focused) for (const a of body.querySelectorAll("a")) if (a.getAttribute("href") === focused) a.focus({ preventScroll: true });
  };
  if (!document.querySelector(".wrong")) poll(() => "changes.json" + location.search, 1000, (list) => {
    put(open.querySelector("tbody"), list.open);
    put(done.querySelector("tbody"), list.changes);
    open.hidden = !(list.open || []).length;
    const more = open.querySelector(".note");
    more.textContent = list.more;
    more.hidden = !list.more;
    done.querySelector("table").hidden = !(list.changes || []).length;
    done.querySelector(".empty").hidden = !!((list.open || []).length || (list.changes || []).length);
    say(list.said);
  });
  setInterval(() => { for (const t of document.querySelectorAll("time[datetime]")) { const a = t.parentElement.querySelector('[data-f="ago"]'); if (a) a.textContent = ago(t.dateTime); } }, 5000);
  // A form without empty fields makes addresses that can be read.
  document.querySelector("form.filter").addEventListener("submit", (e) => {
    e.preventDefault();
    const asked = new URLSearchParams();
    for (const [k, v] of new FormData(e.target)) if (String(v).trim()) asked.append(k, String(v).trim());
    const query = asked.toString();
    location.href = query ? "?" + query : "./";
  });
  for (const s of document.querySelectorAll("form.filter select")) s.addEventListener("change", () => s.form.requestSubmit());
  return {
    move(by) {
      const links = [...document.querySelectorAll("table.changes a")].filter((a) => a.offsetParent);
      const at = links.indexOf(document.activeElement);
      const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by))];
      if (next) { next.focus(); next.closest("tr").scrollIntoView({ block: "nearest" }); }
    },
    search() { byId("search").focus(); byId("search").select(); },
  };
}

// ---- A change.
function changePage() {
  const article = document.querySelector("article");
  if (!article) return;
  const id = article.dataset.id, wf = byId("wf"), rows = byId("wf-rows"), details = byId("details"), axis = wf.querySelector(".wf-axis");
  const state = { bars: [], whole: 1, end: 0, shown: [], parent: [], folded: new Set(), touched: new Set(), selected: null, from: 0, to: 1, only: false, loaded: false };
  const address = new URL(location.href);
  const rowHeight = () => parseFloat(getComputedStyle(wf).getPropertyValue("--row")) || 26;
  const narrow = () => matchMedia("(max-width: 700px)").matches;
  const zoomed = () => state.from > 0 || state.to < state.whole;

  // take takes in the spans, and leaves folded what was.
  function take(answer) {
    const all = !zoomed() || !state.loaded;
    state.bars = answer.bars; state.end = answer.end;
    state.whole = answer.whole;
    const stack = [];
    state.parent = new Int32Array(state.bars.length).fill(-1);
    state.index = new Map();
    state.bars.forEach((b, i) => {
      while (stack.length && state.bars[stack[stack.length - 1]].depth >= b.depth) stack.pop();
      if (stack.length) state.parent[i] = stack[stack.length - 1];
      stack.push(i);
      state.index.set(b.id, i);
      if (b.folded && !state.touched.has(b.id)) { state.folded.add(b.id); }
    });
    if (!state.loaded) {
      state.loaded = true;
      const from = parseFloat(address.searchParams.get("zoom")), to = parseFloat((address.searchParams.get("zoom") || "").split("-")[1]);
      if (from >= 0 && to > from) { state.from = from; state.to = Math.min(to, state.whole); } else state.to = state.whole;
      state.only = address.searchParams.get("only") === "critical";
      pressed();
      const wanted = address.searchParams.get("span");
      if (wanted && state.index.has(wanted)) { reveal(state.index.get(wanted)); state.selected = wanted; }
      wf.classList.add("live");
      byId("falls-tools").hidden = false;
      requestAnimationFrame(() => performance.mark("rollspan:ready"));
      const note = wf.querySelector(":scope > .note");
      if (note && !answer.leftOut) note.remove();
    } else if (all) { state.from = 0; state.to = state.whole; }
    layout();
    if (state.selected) scrollTo(state.selected, "nearest");
  }

  // layout finds which rows are shown.
  function layout() {
    state.shown = [];
    for (let i = 0; i < state.bars.length; i++) {
      const b = state.bars[i];
      if (state.only && !b.critical && b.depth > 0 && !hasCritical(i)) { i += b.below || 0; continue; }
      state.shown.push(i);
      if (state.folded.has(b.id)) i += b.below || 0;
    }
    state.place = new Map(state.shown.map((i, at) => [i, at]));
    rows.setAttribute("aria-rowcount", state.shown.length);
    spacer.style.height = state.shown.length * rowHeight() + "px";
    drawAxis();
    show();
  }
  function hasCritical(i) {
    const b = state.bars[i];
    for (let k = i + 1; k <= i + (b.below || 0); k++) if (state.bars[k].critical) return true;
    return false;
  }

  const x = (ms) => 100 * (ms - state.from) / (state.to - state.from);
  const spacer = make("div", "wf-space");
  spacer.setAttribute("role", "presentation");

  // show draws the rows that are in sight, and no others.
  function show() {
    const height = rowHeight();
    const first = Math.max(0, Math.floor(rows.scrollTop / height) - 8);
    const last = Math.min(state.shown.length, Math.ceil((rows.scrollTop + Math.max(rows.clientHeight, 300)) / height) + 8);
    const list = [spacer];
    for (let at = first; at < last; at++) list.push(rowOf(at, height));
    rows.replaceChildren(...list);
    const here = state.selected && byId("row-" + state.selected);
    if (here) rows.setAttribute("aria-activedescendant", here.id);
    else rows.removeAttribute("aria-activedescendant");
  }

  function rowOf(at, height) {
    const b = state.bars[state.shown[at]], below = b.below || 0, folded = state.folded.has(b.id);
    const row = make("div", "wf-row" + (b.critical ? " critical" : "") + (b.failed ? " failed" : "") + (b.id === state.selected ? " selected" : ""));
    row.id = "row-" + b.id;
    row.style.top = at * height + "px";
    row.dataset.id = b.id;
    row.setAttribute("role", "row");
    row.setAttribute("aria-level", b.depth + 1);
    row.setAttribute("aria-rowindex", at + 1);
    row.setAttribute("aria-selected", b.id === state.selected);
    if (below) row.setAttribute("aria-expanded", !folded);
    const name = make("div", "wf-name d" + Math.min(8, b.depth));
    name.setAttribute("role", "gridcell");
    const fold = make("span", "fold", below ? (folded ? "▶" : "▼") : "");
    fold.setAttribute("aria-hidden", "true");
    name.append(fold, b.name, " ", make("span", "dim", b.about || ""));
    if (folded && below) name.append(make("span", "dim", ` +${below}`));
    if (b.note) name.append(" ", make("span", "note", b.note));
    name.title = [b.name, b.about, b.note].filter(Boolean).join("  ");
    const lane = make("div", "wf-lane");
    lane.setAttribute("role", "gridcell");
    lane.append(bars(b, height), label(b));
    if (b.critical) lane.append(make("span", "hidden", "critical path"));
    row.append(name, lane);
    return row;
  }

  function bars(b, height) {
    const svg = draw("svg", "", { "aria-hidden": "true" });
    const tall = narrow() ? height - 20 : height, thick = b.below ? 7 : 15, y = (tall - thick) / 2;
    const from = Math.max(-1, x(b.from)), to = Math.min(101, x(b.to));
    if (state.end < state.whole) svg.append(draw("line", "change-end", { x1: x(state.end) + "%", x2: x(state.end) + "%", y1: 0, y2: "100%" }));
    if (to >= 0 && from <= 100) {
      svg.append(draw("rect", "bar ph-" + word(b.phase) + (b.critical ? " critical" : "") + (b.below ? " parent" : ""),
        { x: from + "%", width: Math.max(0.15, to - from) + "%", y, height: thick, rx: 2 }));
    }
    for (const [at, by] of [[b.from, b.before], [b.to, b.after]]) {
      if (!by) continue;
      const l = Math.max(-1, x(at - by)), r = Math.min(101, x(at + by));
      if (r > 0 && l < 100) svg.append(titled(draw("rect", "doubt", { x: l + "%", width: Math.max(0.2, r - l) + "%", y: y - 3, height: thick + 6 }), `known to ± ${took(by)}`));
    }
    for (const m of b.marks || []) {
      const at = x(m.at);
      if (at < -0.5 || at > 100.5) continue;
      // A nested svg takes a place in percent, which a path does not.
      const place = draw("svg", "", { x: at + "%", y: 0, overflow: "visible" });
      place.append(titled(draw("path", "mark" + (m.warning ? " warning" : ""), { d: `M0 ${tall / 2 - 6}l4.5 6-4.5 6-4.5-6z` }), m.title));
      svg.append(place);
    }
    return svg;
  }
  // label has how long a span took, where there is room for it.
  function label(b) {
    const e = make("span", "lane-label", b.took), before = b.before || 0, after = b.after || 0;
    // Either end may be known so badly that what is hatched around it covers the other one.
    const from = x(Math.min(b.from - before, b.to - after)), to = x(Math.max(b.from + before, b.to + after));
    if (to < 0 || from > 100) e.hidden = true;
    else if (to < 86) e.style.left = Math.max(0, to) + "%";
    else if (from > 14) e.style.right = 100 - from + "%";
    else { e.style.right = 100 - Math.min(100, to) + "%"; e.classList.add("inside"); }
    return e;
  }

  function drawAxis() {
    const svg = draw("svg", "ticks", { "aria-hidden": "true" });
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 21600e3, 43200e3, 86400e3];
    const span = state.to - state.from, step = steps.find((s) => s >= span / (narrow() ? 3 : 6)) || Math.ceil(span / 6);
    for (let at = Math.ceil(state.from / step) * step; at <= state.to; at += step) {
      svg.append(draw("line", "", { x1: x(at) + "%", x2: x(at) + "%", y1: 0, y2: "100%" }));
      const t = draw("text", "", { x: x(at) + "%", dx: 4, y: 14 });
      t.textContent = at === 0 ? "0" : at % 1000 === 0 && at < 60e3 ? at / 1000 + " s" : took(at);
      svg.append(t);
    }
    axis.replaceChildren(make("span"), svg);
  }

  // ---- What is selected, and the address that says so.
  function reveal(i) {
    for (let p = state.parent[i]; p >= 0; p = state.parent[p]) { state.folded.delete(state.bars[p].id); state.touched.add(state.bars[p].id); }
    if (state.only && !state.bars[i].critical) { state.only = false; pressed(); }
  }
  function scrollTo(id, block) {
    const at = state.place.get(state.index.get(id));
    if (at === undefined) return;
    const height = rowHeight(), top = at * height;
    if (block === "center") rows.scrollTop = top - rows.clientHeight / 2;
    else if (top < rows.scrollTop) rows.scrollTop = top;
    else if (top + height > rows.scrollTop + rows.clientHeight) rows.scrollTop = top + height - rows.clientHeight;
    show();
  }
  function note() {
    const q = address.searchParams;
    const put = (key, value) => value ? q.set(key, value) : q.delete(key);
    put("span", state.selected || "");
    put("zoom", zoomed() ? `${Math.round(state.from)}-${Math.round(state.to)}` : "");
    put("only", state.only ? "critical" : "");
    address.hash = "";
    history.replaceState(null, "", address.href.replace(/#$/, ""));
  }
  function select(span, open) {
    state.selected = span;
    note();
    scrollTo(span, "nearest");
    if (open || !details.hidden) openDetails(span);
  }
  function pressed() { document.querySelector('[data-do="critical"]').setAttribute("aria-pressed", state.only); }
  function setFold(i, fold) {
    const b = state.bars[i];
    if (!b.below) return;
    state.touched.add(b.id);
    fold ? state.folded.add(b.id) : state.folded.delete(b.id);
    layout();
  }
  function zoom(from, to) {
    const least = Math.max(1, state.whole / 5000);
    if (to - from < least) { const mid = (from + to) / 2; from = mid - least / 2; to = mid + least / 2; }
    state.from = Math.max(0, from); state.to = Math.min(state.whole, to);
    note();
    drawAxis();
    show();
  }
  function zoomBy(by) {
    const i = state.selected && state.index.get(state.selected), b = i !== undefined && i !== null && state.bars[i];
    const mid = b && b.to >= state.from && b.from <= state.to ? (Math.max(b.from, state.from) + Math.min(b.to, state.to)) / 2 : (state.from + state.to) / 2;
    const half = (state.to - state.from) * by / 2;
    zoom(mid - half, mid + half);
  }

  // ---- Details.
  let asked = 0;
  async function openDetails(span) {
    const mine = ++asked;
    try {
      const answer = await fetch(`${encodeURIComponent(id)}/${encodeURIComponent(span)}/span.json`, { cache: "no-store" });
      if (mine !== asked || !answer.ok) return;
      fillDetails(await answer.json());
    } catch { /* it is away, which the list says */ }
  }
  function pairs(list, className) {
    const dl = make("dl", "pairs" + (className ? " " + className : ""));
    for (const f of list || []) {
      const div = make("div");
      div.append(make("dt", "", f.key), make("dd", "", f.value));
      dl.append(div);
    }
    return dl;
  }
  function fillDetails(d) {
    const parts = [];
    const close = make("button", "close", "×");
    close.type = "button"; close.id = "details-close";
    close.setAttribute("aria-label", "Close (Esc)");
    close.addEventListener("click", closeDetails);
    parts.push(close, make("h3", "", d.name), make("p", "dim", d.about));
    if (d.message) parts.push(make("p", "wrong", d.message));
    parts.push(pairs(d.facts));
    if ((d.links || []).length) {
      const ul = make("ul", "related");
      for (const l of d.links) {
        const li = make("li", "", l.meaning + " ");
        if (l.address && (!l.external || /^https?:\/\//.test(l.address))) {
          const a = make("a", "", l.name);
          a.setAttribute("href", l.external ? l.address : document.body.dataset.root + l.address);
          a.rel = "noopener noreferrer";
          li.append(a);
        } else li.append(l.name);
        ul.append(li);
      }
      parts.push(make("h4", "", "Links"), ul);
    }
    if ((d.events || []).length) {
      const ol = make("ol", "events");
      for (const e of d.events) {
        const li = make("li", e.warning ? "warning" : "");
        li.append(make("span", "num dim", e.at), " ", make("b", "", e.name), " " + e.message + " ", make("span", "dim", e.times));
        ol.append(li);
      }
      parts.push(make("h4", "", "Events"), ol);
    }
    if ((d.attributes || []).length) parts.push(make("h4", "", "Attributes"), pairs(d.attributes, "attributes"));
    if ((d.resource || []).length) parts.push(make("h4", "", "Object"), pairs(d.resource, "attributes"));
    details.replaceChildren(...parts);
    details.hidden = false;
    details.scrollTop = 0;
  }
  function closeDetails() {
    asked++;
    details.hidden = true;
    rows.focus({ preventScroll: true });
  }
  const closing = byId("details-close");
  if (closing) { closing.hidden = false; closing.addEventListener("click", closeDetails); }

  // ---- Keys and the pointer.
  function step(by) {
    const at = state.selected === null ? -1 : state.place.get(state.index.get(state.selected)) ?? -1;
    const next = state.shown[Math.min(state.shown.length - 1, Math.max(0, at + by))];
    if (next !== undefined) select(state.bars[next].id);
  }
  function nextWhere(test) {
    const from = state.selected === null ? -1 : state.index.get(state.selected);
    for (let k = 1; k <= state.bars.length; k++) {
      const i = (from + k + state.bars.length) % state.bars.length;
      if (test(state.bars[i])) { reveal(i); layout(); return select(state.bars[i].id); }
    }
  }
  function key(e) {
    const i = state.selected === null ? undefined : state.index.get(state.selected);
    const b = i === undefined ? null : state.bars[i];
    const page = Math.max(1, Math.floor(rows.clientHeight / rowHeight()) - 1);
    switch (e.key) {
      case "ArrowDown": case "j": step(1); break;
      case "ArrowUp": case "k": step(-1); break;
      case "PageDown": step(page); break;
      case "PageUp": step(-page); break;
      case "Home": step(-1e9); break;
      case "End": step(1e9); break;
      case "ArrowRight":
        if (!b) step(1);
        else if (b.below && state.folded.has(b.id)) setFold(i, false);
        else if (b.below) step(1);
        break;
      case "ArrowLeft":
        if (!b) break;
        if (b.below && !state.folded.has(b.id)) setFold(i, true);
        else if (state.parent[i] >= 0) select(state.bars[state.parent[i]].id);
        break;
      case "Enter": case " ": if (b) openDetails(b.id); break;
      case "c": nextWhere((o) => o.critical && !o.below); break;
      case "e": nextWhere((o) => o.failed); break;
      case "z": if (b) { const by = Math.max(1, (b.to - b.from) * 0.1); zoom(b.from - by, b.to + by); } break;
      case "+": case "=": zoomBy(0.5); break;
      case "-": zoomBy(2); break;
      case "0": zoom(0, state.whole); break;
      default: return false;
    }
    return true;
  }
  rows.tabIndex = 0;
  rows.addEventListener("scroll", () => requestAnimationFrame(show), { passive: true });
  let resizing = 0;
  addEventListener("resize", () => { cancelAnimationFrame(resizing); resizing = requestAnimationFrame(() => state.loaded && layout()); });

  let drag = null;
  const ms = (clientX) => {
    const box = axis.querySelector("svg").getBoundingClientRect();
    return state.from + (state.to - state.from) * Math.min(1, Math.max(0, (clientX - box.left) / box.width));
  };
  wf.addEventListener("pointerdown", (e) => {
    if (!state.loaded || e.button !== 0 || e.pointerType === "touch" || !e.target.closest(".wf-lane, .ticks")) return;
    drag = { x: e.clientX, from: ms(e.clientX), moved: false };
  });
  addEventListener("pointermove", (e) => {
    if (!drag || Math.abs(e.clientX - drag.x) < 5 && !drag.moved) return;
    if (!drag.moved) { drag.moved = true; drag.box = make("div", "rubber"); wf.style.position = "relative"; wf.append(drag.box); }
    const outer = wf.getBoundingClientRect();
    drag.box.style.left = Math.min(e.clientX, drag.x) - outer.left + "px";
    drag.box.style.width = Math.abs(e.clientX - drag.x) + "px";
    e.preventDefault();
  });
  addEventListener("pointerup", (e) => {
    if (!drag) return;
    const d = drag;
    drag = null;
    if (!d.moved) return;
    d.box.remove();
    const to = ms(e.clientX);
    zoom(Math.min(d.from, to), Math.max(d.from, to));
    swallow = true;
    setTimeout(() => { swallow = false; }, 0);
  });
  let swallow = false;
  rows.addEventListener("click", (e) => {
    if (swallow || !state.loaded) return;
    const row = e.target.closest(".wf-row");
    if (!row) return;
    e.preventDefault();
    const i = state.index.get(row.dataset.id);
    if (e.target.closest(".fold") && state.bars[i].below) return setFold(i, !state.folded.has(row.dataset.id));
    rows.focus({ preventScroll: true });
    select(row.dataset.id, true);
  });
  rows.addEventListener("dblclick", (e) => { if (e.target.closest(".wf-lane")) zoom(0, state.whole); });
  byId("falls-tools").addEventListener("click", (e) => {
    const action = e.target.closest("[data-do]");
    if (!action) return;
    switch (action.dataset.do) {
      case "critical": state.only = !state.only; pressed(); note(); layout(); break;
      case "unfold": for (const b of state.bars) state.touched.add(b.id); state.folded.clear(); layout(); break;
      case "fold": for (const b of state.bars) if (b.below && b.depth > 0) { state.folded.add(b.id); state.touched.add(b.id); } layout(); break;
      case "in": zoomBy(0.5); break;
      case "out": zoomBy(2); break;
      case "fit": zoom(0, state.whole); break;
    }
  });

  // ---- What is in progress moves; of what is over there is nothing to ask again.
  let open = article.dataset.open === "true";
  const stop = poll(() => encodeURIComponent(id) + "/spans.json", 1000, (answer) => {
    take(answer);
    if (open && !answer.open) return location.reload(); // what it waited for is known now
    if (!open) return stop();
    byId("took").textContent = answer.took;
    byId("outcome").replaceChildren(outcomeOf(answer.outcome));
    byId("why").replaceChildren(...(answer.sentences || []).map((s) => make("p", "", s)));
    say((answer.sentences || [""])[0]);
  });
  return {
    move: step, key,
    before() { const b = byId("before"); if (b) location.href = b.href; },
    escape() { if (!details.hidden) closeDetails(); else if (zoomed()) zoom(0, state.whole); },
    search() { location.href = document.body.dataset.root || "./"; },
  };
}

// ---- The overview.
function overviewPage() {
  const over = byId("over"), cross = byId("crosshair");
  if (!over) return;
  const lane = over.querySelector(".over-lane");
  over.addEventListener("pointermove", (e) => {
    const box = lane.getBoundingClientRect(), outer = over.getBoundingClientRect();
    cross.hidden = e.clientX < box.left || e.clientX > box.right;
    cross.style.left = e.clientX - outer.left + "px";
  });
  over.addEventListener("pointerleave", () => { cross.hidden = true; });
  return {
    move(by) {
      const links = [...document.querySelectorAll(".over-lanes .over-lane a")];
      const at = links.indexOf(document.activeElement);
      const next = links[Math.min(links.length - 1, Math.max(0, at + by))];
      if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
    },
    search() { location.href = document.body.dataset.root || "./"; },
  };
}

document.addEventListener("DOMContentLoaded", () => {
  applyTheme();
  const body = document.body, root = body.dataset.root, help = byId("help");
  const themeButton = byId("theme-button"), helpButton = byId("help-button");
  themeButton.hidden = helpButton.hidden = false;
  themeButton.addEventListener("click", nextTheme);
  helpButton.addEventListener("click", () => help.showModal());
  const page = { list: listPage, change: changePage, overview: overviewPage }[body.dataset.page];
  const here = (page && page()) || {};
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || help.open) return;
    const typing = e.target.closest("input, select, textarea");
    if (typing) { if (e.key === "Escape") e.target.blur(); return; }
    const pressing = e.target.closest("a, button, summary") && (e.key === "Enter" || e.key === " ");
    if (pressing) return;
    const scrolls = !e.target.closest("#wf-rows") && /^(Home|End|Page.*|Arrow.*| )$/.test(e.key) && !document.querySelector(".wf-row.selected");
    let done = true;
    if (!scrolls && here.key && here.key(e)) { /* the waterfall's */ }
    else switch (e.key) {
      case "j": here.move && here.move(1); break;
      case "k": here.move && here.move(-1); break;
      case "/": here.search && here.search(); break;
      case "?": help.showModal(); break;
      case "t": nextTheme(); break;
      case "g": location.href = root || "./"; break;
      case "o": location.href = root + "overview"; break;
      case "b": here.before && here.before(); break;
      case "Escape": here.escape && here.escape(); break;
      default: done = false;
    }
    if (done) e.preventDefault();
  });
});
