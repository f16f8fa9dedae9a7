"use strict";
const COLOURS = ["#3b82cc", "#d07f22", "#2f9a83", "#8a63b5", "#c2524a", "#8c8a2b", "#4fa6c8", "#a8638f"];
const LABEL = "#838b97";
const SETTINGS = { displaylogo: false, displayModeBar: false, responsive: true };
// The buttons are listed one by one: none that would send data anywhere.
const TOOLS = { ...SETTINGS, displayModeBar: "hover", modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
const FRAME = {
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified", dragmode: "zoom",
  modebar: { bgcolor: "rgba(0,0,0,0)", color: LABEL, activecolor: COLOURS[0] },
  font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 12 },
};

function colour(index) { return COLOURS[index % COLOURS.length]; }

function drawScores(element, data) {
  const rows = data.names.map((_, i) => i);
  const fixed = (value) => (value === null ? "" : value.toFixed(3));
  const traces = [];
  const mean = data.means.some((value) => value !== null), several = data.folds.some((values) => values.length > 1);
  const bars = mean ? data.means : Object.values(data.extra)[0];
  traces.push({
    type: "bar", orientation: "h", name: several ? "mean over folds ± sd" : mean ? "single fold" : Object.keys(data.extra)[0], x: bars, y: rows, width: 0.62,
    marker: { color: COLOURS[0] }, hovertemplate: "%{x:.3f}<extra></extra>", customdata: bars.map(fixed),
    error_x: several ? { type: "data", array: data.deviations.map((v) => v ?? 0), color: LABEL, thickness: 1.5, width: 4 } : undefined,
  });
  if (several) traces.push({
    type: "scatter", mode: "markers", name: "single folds", marker: { color: "#ffffff", size: 7, line: { color: LABEL, width: 1.5 } },
    x: data.folds.flat(), y: data.folds.flatMap((values, i) => values.map(() => i)), hovertemplate: "%{x:.3f}<extra>fold</extra>",
  });
  Object.entries(data.extra).forEach(([name, values], i) => {
    if (values === bars) return;
    traces.push({
      type: "scatter", mode: "markers", name, x: values, y: rows, hovertemplate: "%{x:.3f}<extra>" + name + "</extra>",
      marker: { symbol: ["diamond", "square"][i], size: 9, color: COLOURS[i + 1] },
    });
  });
  element.style.height = 80 + 34 * rows.length + "px";
  Plotly.newPlot(element, traces, {
    ...FRAME, hovermode: "closest", bargap: 0.35,
    margin: { l: 8, r: 16, t: 30, b: 36 }, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
    // Always the whole scale, so that reports can be compared; what lies below 0 stays visible.
    xaxis: { zeroline: true, range: [Math.min(0, ...traces.flatMap((trace) => trace.x.map((x) => x * 1.05))), 1.005], automargin: true },
    yaxis: { tickvals: rows, ticktext: data.names.map(escapeText), autorange: "reversed", automargin: true, ticklabelstandoff: 6, showgrid: false, zeroline: false },
  }, SETTINGS);
}

function drawCurves(element, data) {
  const marker = data.epoch.length < 40 ? "lines+markers" : "lines";
  const line = (axis) => ([name, values], i) => ({
    type: "scatter", mode: marker, name: escapeText(name), x: data.epoch, y: values, yaxis: axis, marker: { size: 4 },
    line: { color: axis === "y2" ? colour(i + 2) : colour(i), width: 1.6 }, hovertemplate: "%{y:.4g}",
  });
  const shapes = data.best === null ? [] : [{
    type: "line", xref: "x", yref: "paper", x0: data.best, x1: data.best, y0: 0, y1: 1, line: { color: LABEL, width: 1.5, dash: "dash" },
  }];
  const traces = [...Object.entries(data.losses).map(line("y")), ...Object.entries(data.metrics).map(line("y2"))];
  const above = Object.keys(data.metrics).length ? [0.53, 1] : [0, 1];
  Plotly.newPlot(element, traces, {
    ...FRAME, shapes, margin: { l: 48, r: 8, t: 8, b: 62 }, legend: { orientation: "h", x: 0, y: -0.16, yanchor: "top", font: { size: 11 } },
    xaxis: { title: { text: "epoch", standoff: 4 }, anchor: "y2", zeroline: false, tickformat: "d", tick0: data.epoch[0], dtick: Math.max(1, Math.ceil(data.epoch.length / 10)) },
    yaxis: { domain: above, zeroline: false, nticks: 5 },
    yaxis2: { domain: [0, 0.45], zeroline: false, nticks: 5, visible: above[0] > 0 },
  }, SETTINGS);
}

function drawTrial(element, data) {
  const traces = [];
  const names = [...new Set(["valence", "arousal"].flatMap((d) => Object.keys(data.series[d])))].sort();
  ["valence", "arousal"].forEach((dimension, row) => {
    const axis = row ? "y2" : "y";
    if (data.labels[dimension]) {
      traces.push({
        type: "scatter", mode: "lines", name: "label", legendgroup: "label", showlegend: !row, x: data.times, y: data.labels[dimension], yaxis: axis,
        line: { color: LABEL, width: 3 }, hovertemplate: "%{y:.3f}",
      });
    }
    names.forEach((name, i) => {
      const values = data.series[dimension][name];
      if (!values) return;
      const first = !row || !data.series.valence[name];
      traces.push({
        type: "scatter", mode: "lines", name: escapeText(name), legendgroup: name, showlegend: first, x: data.times, y: values, yaxis: axis,
        line: { color: colour(i), width: 1.4 }, hovertemplate: "%{y:.3f}",
      });
    });
  });
  const box = (from, to, y0, y1, fillcolor, opacity) => ({
    type: "rect", layer: "below", xref: "x", yref: "paper", x0: from, x1: to, y0, y1, fillcolor, opacity, line: { width: 0 },
  });
  const shapes = [
    ...data.invalid.map(([from, to]) => box(from, to, 0, 1, "#c2524a", 0.14)),
    ...data.faceless.map(([from, to]) => box(from, to, 0.475, 0.525, "#838b97", 0.75)),
  ];
  const values = { title: { standoff: 6 }, zeroline: true, nticks: 5, ...valueRange(traces) };
  Plotly.newPlot(element, traces, {
    ...FRAME, shapes, margin: { l: 56, r: 12, t: 36, b: 44 }, legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom" },
    xaxis: { title: { text: "time, s", standoff: 6 }, anchor: "y2", zeroline: false, showgrid: false },
    yaxis: { ...values, domain: [0.54, 1], title: { ...values.title, text: "valence" } },
    yaxis2: { ...values, domain: [0, 0.46], title: { ...values.title, text: "arousal" } },
  }, TOOLS);
}

function valueRange(traces) {
  let low = -1, high = 1;
  for (const trace of traces) for (const value of trace.y) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
  return { range: [low - 0.05, high + 0.05] };
}

// Plotly reads a small set of tags in names and titles; names from data must stay text.
function escapeText(text) { return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }

// The library is kept compressed, so that a page opens before it is unpacked.
async function unpack() {
  const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (letter) => letter.charCodeAt(0));
  const script = document.createElement("script");
  script.textContent = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  document.head.append(script);
}

const DRAW = { scores: drawScores, curves: drawCurves, trial: drawTrial };

async function draw(element) {
  await library;
  if (element.dataset.drawn) return;
  element.dataset.drawn = "yes";
  DRAW[element.dataset.figure](element, JSON.parse(element.querySelector("script").textContent));
}

// A figure is drawn when it first comes near the window, so that closed trials cost nothing.
const figures = [...document.querySelectorAll("[data-figure]")];
const library = figures.length ? unpack() : null;
const watch = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { watch.unobserve(entry.target); draw(entry.target); }
}, { rootMargin: "400px" });
figures.forEach((element) => watch.observe(element));
addEventListener("beforeprint", () => figures.filter((element) => element.checkVisibility()).forEach(draw));

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => [cellValue(row.cells[column]), row]);
      rows.sort(([a], [b]) => compare(a, b, descending));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

function cellValue(cell) {
  if (cell.dataset.v === undefined) return cell.textContent.trim();
  const value = Number(cell.dataset.v);
  return cell.dataset.v === "" || Number.isNaN(value) ? null : value;
}

// Missing values stay at the end in both directions.
function compare(a, b, descending) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  return descending ? -order : order;
}

function filterable(bar) {
  const target = document.getElementById(bar.dataset.filter);
  const items = target.tBodies ? [...target.tBodies[0].rows] : [...target.children];
  const words = new Map(items.map((item) => [item, (target.tBodies ? item : item.querySelector("summary")).textContent.toLowerCase()]));
  const search = bar.querySelector("input[type=search]"), shown = bar.querySelector(".shown");
  const boxes = [...bar.querySelectorAll("input[type=checkbox]")];
  const unit = shown.textContent.replace(/^[\d,]+ /, "");
  bar.addEventListener("input", () => {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const severities = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    for (const item of items) {
      const visible = terms.every((word) => words.get(item).includes(word)) && (!boxes.length || severities.has(item.dataset.severity));
      item.hidden = !visible;
      count += visible;
    }
    const all = items.length.toLocaleString("en");
    shown.textContent = count === items.length ? `${all} ${unit}` : `${count.toLocaleString("en")} of ${all} ${unit}`;
  });
}

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll("[data-filter]").forEach(filterable);
addEventListener("hashchange", openTarget);
openTarget();
