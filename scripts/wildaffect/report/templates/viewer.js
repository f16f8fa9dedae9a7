"use strict";
// Calculations first: no page, no state. `show` at the end makes the page of the data that the script beside it calls it with.

const BRANCH = 8;

function decode(text, type) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new type(bytes.buffer);
}

// Index of the first time that is not before `time`; the number of times if there is none.
function firstFrom(times, time) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1; else high = middle;
  }
  return low;
}

// The frame that is shown at `time`: the last one that has begun.
function frameAt(times, time) {
  const next = firstFrom(times, time);
  return Math.min(times.length - 1, Math.max(0, times[next] === time ? next : next - 1));
}

// A time at which surely this frame is shown: its middle.
function middleOf(times, end, frame) {
  return (times[frame] + (frame + 1 < times.length ? times[frame + 1] : end)) / 2;
}

// Levels of detail: level k holds minimum and maximum of each block of BRANCH ** k values; NaN where a block has no value.
function pyramid(values) {
  const levels = [{ low: values, high: values }];
  for (let below = levels[0]; below.low.length > BRANCH; below = levels[levels.length - 1]) {
    const count = Math.ceil(below.low.length / BRANCH);
    const low = new Float32Array(count).fill(NaN), high = new Float32Array(count).fill(NaN);
    for (let i = 0; i < below.low.length; i++) {
      const block = (i / BRANCH) | 0;
      if (!(low[block] <= below.low[i])) low[block] = Number.isNaN(below.low[i]) ? low[block] : below.low[i];
      if (!(high[block] >= below.high[i])) high[block] = Number.isNaN(below.high[i]) ? high[block] : below.high[i];
    }
    levels.push({ low, high });
  }
  return levels;
}

// Minimum and maximum of the values from `first` on and before `stop`, exactly; NaN twice without any.
function extent(levels, first, stop) {
  let low = NaN, high = NaN;
  while (first < stop) {
    let level = 0, size = 1;
    while (level + 1 < levels.length && first % (size * BRANCH) === 0 && first + size * BRANCH <= stop) { level++; size *= BRANCH; }
    const index = first / size, least = levels[level].low[index], most = levels[level].high[index];
    if (!Number.isNaN(least)) {
      if (!(low <= least)) low = least;
      if (!(high >= most)) high = most;
    }
    first += size;
  }
  return [low, high];
}

// Runs of equal values of a band in the frames from `first` on and before `stop`: [value, first, stop] each. Many short runs are thinned.
function runs(values, first, stop, step) {
  const found = [];
  for (let i = first; i < stop; i += step) {
    const last = found[found.length - 1], value = values[i];
    if (last && last[0] === value) last[2] = Math.min(stop, i + step);
    else found.push([value, i, Math.min(stop, i + step)]);
  }
  return found;
}

// A cell of a CSV file. Line breaks in names become blanks, as readers of lines may be strict.
function cell(value) {
  const text = String(value ?? "").replace(/[\r\n]+/g, " ").trim();
  return /[",;\t]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
}

function csv(header, rows) { return [header, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n"; }

// What `tables.segments` and `labels.exclude` read. A range ends with the end of its last frame.
function segmentsTable(ranges, video, times, end) {
  return csv(["trial", "video", "start_s", "end_s", "label"], ranges.map((range) => [
    range.trial, range.trial ? "" : video, times[range.first], range.last + 1 < times.length ? times[range.last + 1] : end, range.name,
  ]));
}

// What `faces.overrides` reads; a range of everybody is one row for each.
function overridesTable(ranges, trials) {
  return csv(["trial", "first_frame", "last_frame", "track", "x", "y"], ranges.flatMap((range) =>
    (range.trial ? [range.trial] : trials).map((trial) => [trial, range.first, range.last, range.track, ...(range.track === "" ? [range.x, range.y] : ["", ""])])));
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(3).padStart(6, "0")}`;
}

// Distances of marks on an axis: 1, 2, 5 times a power of ten, at least `least`.
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * 0.999);
}

const COLOURS = ["#3b82cc", "#d07f22", "#2f9a83", "#8a63b5", "#c2524a", "#8c8a2b", "#4fa6c8", "#a8638f", "#6b8e4e", "#b07a5a", "#5f6fae", "#9a9a9a"];
const CLASS_COLOURS = { Neutral: "#8d99a8", Anger: "#d6483f", Disgust: "#7a9a2e", Fear: "#8a63b5", Happiness: "#e2a21b", Sadness: "#3b78c4", Surprise: "#22a39a", Other: "#b0719c" };
const DASHES = [[], [6, 3], [2, 2], [9, 3, 2, 3]];
const GUTTER = 116, RIGHT = 10, TRAIL = 2;

function show(data) {
  const page = (id) => document.getElementById(id);
  const video = page("video"), times = decode(data.times, Float64Array), count = times.length, end = data.end;
  const f32 = (text) => decode(text, Float32Array), u8 = (text) => decode(text, Uint8Array);
  const single = data.persons.length === 1;
  const units = (name) => /^AU\d+$/.test(name);
  const state = { frame: 0, from: 0, to: end, playing: false, ranges: [], mark: null, point: null, series: {}, labels: true, predictions: true, file: 0, playable: null, drawn: 0 };

  const persons = data.persons.map((person, index) => ({
    trial: person.trial, shown: true, colour: person.colour || COLOURS[index % COLOURS.length],
    face: person.face && u8(person.face), trust: person.trust && u8(person.trust), track: person.track && decode(person.track, Int16Array),
    labels: Object.fromEntries(Object.entries(person.labels).map(([name, text]) => [name, name === "expression" ? { values: u8(text) } : layered(f32(text))])),
    predictions: Object.fromEntries(Object.entries(person.predictions).map(([series, columns]) =>
      [series, Object.fromEntries(Object.entries(columns).map(([name, text]) => [name, layered(f32(text))]))])),
  }));
  const speech = data.speech && { probability: layered(f32(data.speech.probability)), speaking: u8(data.speech.speaking) };
  const series = [...new Set(persons.flatMap((person) => Object.keys(person.predictions)))].sort();
  series.forEach((name) => { state.series[name] = true; });
  for (const person of persons) for (const columns of Object.values(person.predictions)) addLikeliest(columns);

  function layered(values) { return { values, levels: pyramid(values) }; }

  // The class with the highest value in each frame, as numbers of data.classes.
  function addLikeliest(columns) {
    const names = data.classes.filter((name) => columns[name]);
    if (names.length < 2) return;
    const best = new Uint8Array(count).fill(255);
    for (let i = 0; i < count; i++) {
      let most = -Infinity;
      for (const name of names) if (columns[name].values[i] > most) { most = columns[name].values[i]; best[i] = data.classes.indexOf(name); }
    }
    columns.likeliest = best;
  }

  // ---- what is drawn, from top to bottom ----
  function panels() {
    const found = [], people = persons.filter((person) => person.shown), chosen = series.filter((name) => state.predictions && state.series[name]);
    const who = (person) => (single ? "" : ` ${person.trial.includes("#") ? "#" + person.trial.split("#").pop() : person.trial}`);
    if (speech) found.push({ kind: "band", name: "speech", height: 14, values: speech.speaking, colour: (value) => value && css("--speech"), level: speech.probability });
    for (const person of people) {
      if (person.face) found.push({ kind: "band", name: `face${who(person)}`, person, height: 12, values: person.face, colour: (value) => css("--" + data.sources[value]) });
      if (person.trust) found.push({ kind: "band", name: `trusted${who(person)}`, person, height: 12, values: person.trust, colour: (value) => (value ? css("--doubt") : css("--detected")) });
    }
    for (const name of ["valence", "arousal"]) {
      const lines = [];
      for (const person of people) {
        if (state.labels && person.labels[name]) lines.push({ ...person.labels[name], name: "label", colour: single ? css("--label") : person.colour, width: 3, alpha: single ? 1 : 0.4 });
        chosen.forEach((each) => {
          const column = (person.predictions[each] ?? {})[name];
          if (column) lines.push({ ...column, name: each, colour: single ? COLOURS[series.indexOf(each) % COLOURS.length] : person.colour, dash: single ? [] : DASHES[series.indexOf(each) % DASHES.length], width: 1.4 });
        });
      }
      if (lines.length) found.push({ kind: "lines", name, height: 104, low: -1, high: 1, lines });
    }
    for (const person of people) {
      if (state.labels && person.labels.expression) {
        found.push({ kind: "band", name: `label${who(person)}`, person, height: 14, values: person.labels.expression.values, colour: classColour });
      }
      for (const each of chosen) {
        const columns = person.predictions[each] ?? {};
        if (!columns.likeliest) continue;
        found.push({ kind: "band", name: `likeliest${who(person)}`, person, sub: each, height: 14, values: columns.likeliest, colour: classColour });
        const lines = data.classes.filter((name) => columns[name]).map((name) => ({ ...columns[name], name, colour: CLASS_COLOURS[name], width: 1.3 }));
        found.push({ kind: "lines", name: `expressions${who(person)}`, sub: each, person, height: 92, low: 0, high: 1, lines, legend: true });
      }
      const labelled = Object.keys(person.labels).filter(units);
      const active = state.labels ? labelled : [];
      for (const each of chosen) {
        const names = Object.keys(person.predictions[each] ?? {}).filter(units);
        if (!names.length) continue;
        const lines = names.map((name, index) => ({ ...person.predictions[each][name], name, colour: COLOURS[index % COLOURS.length], width: 1.2 }));
        found.push({ kind: "lines", name: `action units${who(person)}`, sub: each, person, height: 92, low: 0, high: 1, lines, legend: true });
      }
      active.forEach((name) => found.push({ kind: "band", name: `${name} label${who(person)}`, person, height: 9, values: person.labels[name].values, colour: (value) => value > 0.5 && css("--label") }));
    }
    return found;
  }
  const classColour = (value) => CLASS_COLOURS[data.classes[value]];

  let styles = getComputedStyle(document.documentElement);
  const cache = new Map();
  function css(name) { if (!cache.has(name)) cache.set(name, styles.getPropertyValue(name).trim()); return cache.get(name); }

  function prepare(canvas, height) {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth;
    if (height !== undefined) canvas.style.height = height + "px";
    const tall = height ?? canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(tall * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(tall * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, tall);
    pen.font = "11px system-ui, sans-serif";
    return { pen, width, height: tall };
  }

  const inner = () => Math.max(10, page("traces").clientWidth - GUTTER - RIGHT);
  const toX = (time) => GUTTER + ((time - state.from) / (state.to - state.from)) * inner();
  const toTime = (x) => state.from + ((x - GUTTER) / inner()) * (state.to - state.from);

  function drawTraces() {
    const list = panels(), gap = 5, axis = 20;
    const total = list.reduce((sum, panel) => sum + panel.height + gap, axis + gap);
    const { pen, width } = prepare(page("traces"), total);
    const columns = Math.ceil(inner()), edges = new Int32Array(columns + 1);
    for (let i = 0; i <= columns; i++) edges[i] = firstFrom(times, toTime(GUTTER + i));
    const first = Math.max(0, edges[0] - 1), stop = Math.min(count, edges[columns] + 1);
    drawAxis(pen, width, total);
    let top = axis;
    for (const panel of list) {
      panel.top = top;
      drawName(pen, panel, top);
      pen.save();
      pen.beginPath();
      pen.rect(GUTTER, top, inner(), panel.height);
      pen.clip();
      if (panel.kind === "band") drawBand(pen, panel, top, first, stop);
      else drawLines(pen, panel, top, edges, first, stop);
      pen.restore();
      top += panel.height + gap;
    }
    for (const range of state.ranges) {
      const [a, b] = bounds(range);
      if (b < state.from || a > state.to) continue;
      pen.fillStyle = css("--accent");
      pen.globalAlpha = 0.14;
      const x = Math.max(GUTTER, toX(a)), stopX = Math.min(GUTTER + inner(), toX(b));
      pen.fillRect(x, axis, stopX - x, total);
      pen.globalAlpha = 1;
      pen.fillText(range.name, x + 3, axis + 10, Math.max(20, stopX - x));
    }
    state.drawn++;
    drawWhole();
    drawCursor();
  }

  function bounds(range) { return [times[range.first], range.last + 1 < count ? times[range.last + 1] : end]; }

  function drawAxis(pen, width, height) {
    const step = niceStep((state.to - state.from) * 80 / inner());
    pen.strokeStyle = css("--line");
    pen.fillStyle = css("--soft");
    pen.lineWidth = 1;
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    for (let k = Math.ceil(state.from / step - 1e-9); k * step <= state.to + 1e-9; k++) {
      const x = Math.round(toX(k * step)) + 0.5;
      pen.beginPath();
      pen.moveTo(x, 15);
      pen.lineTo(x, height);
      pen.stroke();
      const text = `${(k * step).toFixed(digits)} s`;
      pen.fillText(text, Math.min(x + 2, width - pen.measureText(text).width), 11);
    }
  }

  function drawName(pen, panel, top) {
    pen.fillStyle = css("--ink");
    const middle = panel.kind === "band" ? top + panel.height - 2 : top + 11;
    if (panel.person && !single) {
      pen.fillStyle = panel.person.colour;
      pen.fillRect(2, top, 3, panel.height);
      pen.fillStyle = css("--ink");
    }
    pen.fillText(panel.name, 8, middle, GUTTER - 12);
    if (panel.kind !== "lines") return;
    pen.fillStyle = css("--soft");
    if (panel.sub) pen.fillText(panel.sub, 8, top + 24, GUTTER - 12);
    if (panel.legend) {
      const rows = Math.floor((panel.height - 28) / 11), half = (GUTTER - 12) / 2;
      panel.lines.slice(0, 2 * rows).forEach((line, i) => {
        pen.fillStyle = line.colour;
        pen.fillText(line.name, 8 + half * Math.floor(i / rows), top + 36 + 11 * (i % rows), half - 2);
      });
      return;
    }
    const y = (value) => top + panel.height * (1 - (value - panel.low) / (panel.high - panel.low));
    for (const value of [panel.low, (panel.low + panel.high) / 2, panel.high]) {
      const text = String(value);
      pen.fillText(text, GUTTER - 6 - pen.measureText(text).width, Math.min(top + panel.height, Math.max(top + 9, y(value) + 4)));
    }
  }

  function drawBand(pen, panel, top, first, stop) {
    const step = Math.max(1, Math.floor((stop - first) / (2 * inner())));
    // Whole multiples, so that the same frames are looked at while the view moves.
    for (const [value, a, b] of runs(panel.values, first - (first % step), stop, step)) {
      const colour = panel.colour(value);
      if (!colour) continue;
      pen.fillStyle = colour;
      const x = toX(times[a]);
      pen.fillRect(x, top, Math.max(1, toX(b < count ? times[b] : end) - x), panel.height);
    }
  }

  function drawLines(pen, panel, top, edges, first, stop) {
    const y = (value) => top + 1 + (panel.height - 2) * (1 - (Math.min(panel.high, Math.max(panel.low, value)) - panel.low) / (panel.high - panel.low));
    pen.fillStyle = css("--panel");
    pen.fillRect(GUTTER, top, inner(), panel.height);
    pen.strokeStyle = css("--line");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(GUTTER, y((panel.low + panel.high) / 2));
    pen.lineTo(GUTTER + inner(), y((panel.low + panel.high) / 2));
    pen.stroke();
    const columns = edges.length - 1, dense = stop - first > 2 * columns;
    for (const line of panel.lines) {
      pen.strokeStyle = line.colour;
      pen.lineWidth = line.width;
      pen.globalAlpha = line.alpha ?? 1;
      pen.setLineDash(line.dash ?? []);
      pen.lineJoin = "round";
      pen.beginPath();
      let open = false;
      const put = (x, value) => { if (open) pen.lineTo(x, y(value)); else pen.moveTo(x, y(value)); open = true; };
      if (dense) {
        for (let i = 0; i < columns; i++) {
          if (edges[i] === edges[i + 1]) continue;
          const [low, high] = extent(line.levels, edges[i], edges[i + 1]);
          if (Number.isNaN(low)) { open = false; continue; }
          put(GUTTER + i + 0.5, low);
          if (high !== low) put(GUTTER + i + 0.5, high);
          else pen.lineTo(GUTTER + i + 0.9, y(high));
        }
      } else {
        for (let i = first; i < stop; i++) {
          const value = line.values[i];
          if (Number.isNaN(value)) { open = false; continue; }
          put(toX(times[i]), value);
          if (i + 1 === stop || Number.isNaN(line.values[i + 1])) pen.lineTo(toX(middleOf(times, end, i)), y(value));
        }
      }
      pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.setLineDash([]);
  }

  function drawWhole() {
    const { pen, width, height } = prepare(page("whole"));
    const x = (time) => GUTTER + (time / end) * (width - GUTTER - RIGHT);
    pen.fillStyle = css("--panel");
    pen.fillRect(GUTTER, 8, width - GUTTER - RIGHT, height - 12);
    pen.fillStyle = css("--soft");
    pen.fillText("whole video", 8, 18, GUTTER - 12);
    pen.fillStyle = css("--accent");
    pen.globalAlpha = 0.35;
    for (const range of state.ranges) { const [a, b] = bounds(range); pen.fillRect(x(a), height - 8, Math.max(1, x(b) - x(a)), 4); }
    pen.globalAlpha = 1;
    pen.strokeStyle = css("--accent");
    pen.lineWidth = 1.5;
    pen.strokeRect(x(state.from) + 0.5, 7.5, Math.max(3, x(state.to) - x(state.from) - 1), height - 11);
    pen.fillStyle = css("--cursor");
    pen.fillRect(x(times[state.frame]) - 0.5, 4, 1.5, height - 5);
  }

  function drawCursor() {
    const { pen, height } = prepare(page("cursor"));
    const time = times[state.frame];
    if (state.mark !== null) {
      pen.fillStyle = css("--accent");
      pen.globalAlpha = 0.25;
      const [a, b] = [toX(times[Math.min(state.mark, state.frame)]), toX(times[Math.max(state.mark, state.frame)])];
      pen.fillRect(a, 20, Math.max(1, b - a), height);
      pen.globalAlpha = 1;
    }
    if (time >= state.from && time <= state.to) {
      pen.fillStyle = css("--cursor");
      pen.fillRect(Math.round(toX(time)) - 0.5, 14, 1.5, height);
    }
    page("clock").textContent = `${clock(time)} · frame ${state.frame.toLocaleString("en")} of ${count.toLocaleString("en")}`;
    drawPlane();
    fillValues();
  }

  // Points of the plane: of each shown person the first chosen series with valence, and arousal from one of the same variant, because
  // both may be trained apart (`<system>/<variant>/<target>`); and the label.
  function pairs() {
    const found = [], variant = (name) => name.split("/").slice(0, 2).join("/");
    for (const person of persons.filter((each) => each.shown)) {
      const having = (column) => series.filter((name) => state.predictions && state.series[name] && person.predictions[name]?.[column]);
      const like = (name) => having("arousal").find((other) => variant(other) === variant(name));
      const chosen = having("valence").find(like);
      const own = single ? COLOURS[0] : person.colour;
      if (chosen) found.push({ person, colour: own, x: person.predictions[chosen].valence.values, y: person.predictions[like(chosen)].arousal.values, filled: true });
      if (state.labels && person.labels.valence && person.labels.arousal) {
        found.push({ person, colour: single ? css("--label") : person.colour, x: person.labels.valence.values, y: person.labels.arousal.values, filled: false });
      }
    }
    return found;
  }

  function drawPlane() {
    const canvas = page("plane"), found = pairs();
    canvas.hidden = !persons.some((person) => person.labels.valence || Object.values(person.predictions).some((columns) => columns.valence));
    if (canvas.hidden) return;
    const { pen, width, height } = prepare(canvas);
    const margin = 16, side = Math.min(width, height) - 2 * margin;
    const x = (value) => margin + ((value + 1) / 2) * side, y = (value) => margin + ((1 - value) / 2) * side;
    pen.strokeStyle = css("--line");
    pen.lineWidth = 1;
    pen.strokeRect(x(-1), y(1), side, side);
    pen.beginPath();
    pen.moveTo(x(-1), y(0)); pen.lineTo(x(1), y(0)); pen.moveTo(x(0), y(-1)); pen.lineTo(x(0), y(1));
    pen.stroke();
    pen.fillStyle = css("--soft");
    pen.fillText("valence →", x(1) - 52, y(0) - 4);
    pen.fillText("arousal ↑", x(0) + 4, y(1) + 11);
    const first = firstFrom(times, times[state.frame] - TRAIL);
    for (const pair of found) {
      pen.strokeStyle = pen.fillStyle = pair.colour;
      pen.lineWidth = 1.5;
      for (let i = Math.max(first, 1); i <= state.frame; i++) {
        if (!(pair.x[i - 1] >= -9 && pair.x[i] >= -9)) continue;
        pen.globalAlpha = 0.1 + 0.7 * (i - first) / Math.max(1, state.frame - first);
        pen.beginPath();
        pen.moveTo(x(pair.x[i - 1]), y(pair.y[i - 1]));
        pen.lineTo(x(pair.x[i]), y(pair.y[i]));
        pen.stroke();
      }
      pen.globalAlpha = 1;
      if (Number.isNaN(pair.x[state.frame])) continue;
      pen.beginPath();
      pen.arc(x(pair.x[state.frame]), y(pair.y[state.frame]), 5, 0, 7);
      if (pair.filled) pen.fill(); else { pen.lineWidth = 2; pen.stroke(); }
    }
  }

  function fillValues() {
    const lines = [], at = state.frame, number = (value) => (Number.isNaN(value) ? "–" : value.toFixed(3));
    if (speech) lines.push(["speech", number(speech.probability.values[at])]);
    for (const person of persons.filter((each) => each.shown)) {
      if (!single) lines.push([person.trial, "", person.colour]);
      if (person.face) lines.push(["face", data.sources[person.face[at]] + (person.track && person.track[at] >= 0 ? `, track ${person.track[at]}` : "")]);
      if (person.trust) lines.push(["trusted", person.trust[at] ? "no: " + data.reasons[person.trust[at]] : "yes"]);
      for (const name of ["valence", "arousal"]) {
        if (state.labels && person.labels[name]) lines.push([`${name}, label`, number(person.labels[name].values[at])]);
        for (const each of series) if (state.predictions && state.series[each] && person.predictions[each]?.[name]) lines.push([name + (series.length > 1 ? `, ${each}` : ""), number(person.predictions[each][name].values[at])]);
      }
      if (state.labels && person.labels.expression) lines.push(["expression, label", data.classes[person.labels.expression.values[at]] ?? "–"]);
      for (const each of series) {
        const best = state.predictions && state.series[each] && person.predictions[each]?.likeliest;
        if (best) lines.push(["expression" + (series.length > 1 ? `, ${each}` : ""), best[at] === 255 ? "–" : `${data.classes[best[at]]} ${(100 * person.predictions[each][data.classes[best[at]]].values[at]).toFixed(0)} %`]);
      }
    }
    const body = page("values").tBodies[0];
    while (body.rows.length > lines.length) body.deleteRow(-1);
    lines.forEach(([name, value, colour], i) => {
      const row = body.rows[i] ?? body.insertRow();
      while (row.cells.length < 2) row.insertCell();
      if (row.cells[0].textContent !== name) row.cells[0].textContent = name;
      if (row.cells[1].textContent !== value) row.cells[1].textContent = value;
      row.cells[0].style.boxShadow = colour ? `inset 3px 0 ${colour}` : "";
    });
  }

  // ---- one drawing per refresh of the screen, however many events ----
  let asked = "";
  function ask(what) {
    if (!asked) requestAnimationFrame(() => { const all = asked === "all"; asked = ""; if (all) drawTraces(); else { drawWhole(); drawCursor(); } });
    asked = what === "all" || asked === "all" ? "all" : "cursor";
  }

  // ---- time ----
  const offset = () => (data.media[state.file]?.offset ?? 0);
  let wanted = null;

  function moveTo(frame) {
    state.frame = Math.min(count - 1, Math.max(0, frame));
    const time = times[state.frame];
    if (time < state.from || time > state.to) {
      const span = state.to - state.from;
      setView(time - span * 0.1, time + span * 0.9);
    } else ask("cursor");
  }

  function seek(frame) {
    moveTo(frame);
    began = { at: performance.now(), time: times[state.frame] };
    if (state.playable === false || !data.media.length) return;
    wanted = middleOf(times, end, state.frame) + offset();
    if (!seeking) follow();
  }

  // A browser seeks one place at a time; while it does, only the newest wish counts. It is left the time to show what was sought: one that
  // seeks on at once may go on showing the frame in between.
  let seeking = false;
  function follow() {
    seeking = wanted !== null;
    if (!seeking) return;
    video.currentTime = wanted;
    wanted = null;
  }
  video.addEventListener("seeked", () => setTimeout(follow, 50));

  let began = { at: 0, time: 0 };
  function tick() {
    if (!state.playing) return;
    if (state.playable) { if (!seeking && !video.seeking) moveTo(frameAt(times, video.currentTime - offset())); }
    else {
      const time = began.time + (performance.now() - began.at) / 1000 * Number(page("speed").value);
      moveTo(frameAt(times, time));
      if (time >= end) return setPlaying(false);
    }
    requestAnimationFrame(tick);
  }

  function setPlaying(on) {
    if (on && state.frame === count - 1) seek(0);
    state.playing = on;
    page("play").textContent = on ? "Pause" : "Play";
    began = { at: performance.now(), time: times[state.frame] };
    video.playbackRate = Number(page("speed").value);
    if (state.playable) {
      if (on) video.play().catch(() => setPlaying(false)); else video.pause();
    }
    if (on) requestAnimationFrame(tick);
  }
  video.addEventListener("ended", () => { setPlaying(false); moveTo(count - 1); });
  // What was shown last before the pause is what the playhead says.
  video.addEventListener("pause", () => { if (state.playing && !video.ended) setPlaying(false); });

  function setView(from, to) {
    const shortest = Math.min(end, 4 * end / count);
    let span = Math.min(end, Math.max(shortest, to - from));
    const start = Math.min(end - span, Math.max(0, from));
    Object.assign(state, { from: start, to: start + span });
    ask("all");
  }

  function zoom(factor, around) {
    const at = around ?? Math.min(state.to, Math.max(state.from, times[state.frame]));
    setView(at - (at - state.from) * factor, at + (state.to - at) * factor);
  }

  // ---- the files of the video ----
  function load(index) {
    state.file = index;
    state.playable = null;
    seeking = false;
    page("message").hidden = true;
    video.hidden = false;
    video.src = data.media[index].url;
    page("file").value = index;
  }
  video.addEventListener("loadeddata", () => {
    if (!video.videoWidth) return refused();
    state.playable = true;
    seek(state.frame);
  });
  video.addEventListener("error", refused);
  function refused() {
    const file = data.media[state.file], other = data.media.findIndex((each, i) => i > state.file);
    state.playable = false;
    page("file").options[state.file].text = `${file.name} (cannot be played here)`;
    const ending = decodeURIComponent(file.url).split(".").pop();
    if (other >= 0) { load(other); say(`This browser cannot play the file of the video (.${ending}, ${file.codec ?? "unknown codec"}); the copy with faces drawn in is shown.`); return; }
    video.hidden = true;
    say(`This browser cannot play the video (.${ending}, ${file.codec ?? "unknown codec"}), or it is no longer where it was. ` +
      "A copy that every browser plays is made by report.overlays: true. The traces work without it.");
  }
  function say(text) { page("message").textContent = text; page("message").hidden = !text; }

  data.media.forEach((file, index) => page("file").add(new Option(file.name, index)));
  page("file").hidden = data.media.length < 2;
  page("file").addEventListener("change", () => { setPlaying(false); load(Number(page("file").value)); });
  if (data.media.length) load(0);
  else { video.hidden = true; state.playable = false; say("The file of the video is not known here. The traces work without it."); }

  // ---- switches ----
  function addSwitch(text, colour, isOn, set) {
    const label = document.createElement("label"), box = document.createElement("input");
    label.className = "switch";
    box.type = "checkbox";
    box.checked = isOn;
    box.addEventListener("change", () => { set(box.checked); ask("all"); });
    label.append(box);
    if (colour) { const spot = document.createElement("i"); spot.style.background = colour; label.append(spot); }
    label.append(text);
    label.title = text;
    page("switches").append(label);
  }
  if (!single) persons.forEach((person) => addSwitch(person.trial, person.colour, true, (on) => { person.shown = on; }));
  if (persons.some((person) => Object.keys(person.labels).length)) addSwitch("labels", css("--label"), true, (on) => { state.labels = on; });
  if (series.length) addSwitch("predictions", "", true, (on) => { state.predictions = on; });
  if (series.length > 1) series.forEach((name, i) => addSwitch(name, single ? COLOURS[i % COLOURS.length] : "", true, (on) => { state.series[name] = on; }));

  // ---- ranges ----
  const key = `wildaffect ranges ${data.video} ${count}`;
  try { state.ranges = JSON.parse(localStorage.getItem(key)) ?? []; } catch { state.ranges = []; }
  function keep() {
    try { localStorage.setItem(key, JSON.stringify(state.ranges)); } catch { /* a browser that keeps nothing */ }
    ask("all");
  }

  function addRange(a, b) {
    const range = { name: `range ${state.ranges.length + 1}`, trial: single ? persons[0].trial : "", first: Math.min(a, b), last: Math.max(a, b), track: "", x: "", y: "" };
    state.ranges.push(range);
    keep();
    listRanges();
    return range;
  }

  function listRanges() {
    const body = page("ranges").tBodies[0];
    body.replaceChildren(...state.ranges.map((range) => {
      const row = document.createElement("tr");
      const put = (content) => { const box = row.insertCell(); box.append(content); return box; };
      const input = (name, kind, read) => {
        const box = document.createElement("input");
        box.value = range[name];
        box.className = kind;
        box.setAttribute("aria-label", name);
        box.addEventListener("change", () => { range[name] = read(box.value); box.value = range[name]; seconds(); keep(); });
        box.addEventListener("focus", () => { state.point = name === "x" || name === "y" ? { range, row } : null; });
        return box;
      };
      const frame = (least) => (text) => Math.min(count - 1, Math.max(least(), Math.round(Number(text)) || 0));
      const optional = (text) => (text.trim() === "" || !(Number(text) >= 0) ? "" : Number(text));
      put(input("name", "name", (text) => text.trim()));
      const who = document.createElement("select");
      who.setAttribute("aria-label", "person");
      if (!single) who.add(new Option("everybody", ""));
      persons.forEach((person) => who.add(new Option(person.trial, person.trial)));
      who.value = range.trial;
      who.addEventListener("change", () => { range.trial = who.value; keep(); });
      put(who);
      put(input("first", "", (text) => Math.min(range.last, frame(() => 0)(text))));
      put(input("last", "", frame(() => range.first)));
      const [from, to] = [put(""), put("")];
      function seconds() { [from.textContent, to.textContent] = bounds(range).map((time) => time.toFixed(3)); }
      seconds();
      put(input("track", "small", (text) => (optional(text) === "" ? "" : Math.round(optional(text)))));
      put(input("x", "small", optional));
      put(input("y", "small", optional));
      const button = (text, does) => { const made = document.createElement("button"); made.textContent = text; made.addEventListener("click", does); return made; };
      const last = put(button("Show", () => { const [a, b] = bounds(range), more = (b - a) * 0.5; setView(a - more, b + more); seek(range.first); }));
      last.append(" ", button("Remove", () => { state.ranges.splice(state.ranges.indexOf(range), 1); keep(); listRanges(); }));
      return row;
    }));
    for (const id of ["segments", "overrides"]) page(id).disabled = !state.ranges.length;
  }

  video.addEventListener("click", (event) => {
    if (!state.point || !video.videoWidth) return;
    const box = video.getBoundingClientRect(), scale = Math.min(box.width / video.videoWidth, box.height / video.videoHeight);
    const x = (event.clientX - box.left - (box.width - scale * video.videoWidth) / 2) / scale, y = (event.clientY - box.top - (box.height - scale * video.videoHeight) / 2) / scale;
    if (x < 0 || y < 0 || x > video.videoWidth || y > video.videoHeight) return;
    Object.assign(state.point.range, { track: "", x: Math.round(x), y: Math.round(y) });
    keep();
    listRanges();
  });

  function save(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${data.video}.${name}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
  page("segments").addEventListener("click", () => save("segments", segmentsTable(state.ranges, data.video, times, end)));
  page("overrides").addEventListener("click", () => save("overrides", overridesTable(state.ranges, persons.map((person) => person.trial))));

  function markFirst() { state.mark = state.frame; ask("cursor"); }
  function markLast() { addRange(state.mark ?? state.frame, state.frame); state.mark = null; }
  page("first").addEventListener("click", markFirst);
  page("last").addEventListener("click", markLast);

  // ---- mouse and keys ----
  function dragging(canvas, start, move, stop) {
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      const box = canvas.getBoundingClientRect(), at = (each) => each.clientX - box.left;
      start(at(event), event);
      const moved = (each) => move(at(each), each);
      canvas.addEventListener("pointermove", moved);
      canvas.addEventListener("pointerup", () => { canvas.removeEventListener("pointermove", moved); if (stop) stop(); }, { once: true });
    });
  }
  const frameOf = (x) => frameAt(times, Math.min(state.to, Math.max(state.from, toTime(x))));
  let marking = false;
  dragging(page("traces"), (x, event) => { setPlaying(false); marking = event.shiftKey; seek(frameOf(x)); if (marking) state.mark = state.frame; },
    (x) => seek(frameOf(x)), () => { if (marking) markLast(); marking = false; });
  const place = (x) => {
    const time = (x - GUTTER) / (page("whole").clientWidth - GUTTER - RIGHT) * end, span = state.to - state.from;
    setView(time - span / 2, time + span / 2);
    if (span >= end) seek(frameAt(times, time));
  };
  dragging(page("whole"), place, place);
  page("traces").addEventListener("wheel", (event) => {
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) { const by = event.deltaX / inner() * (state.to - state.from); setView(state.from + by, state.to + by); }
    else zoom(1.0015 ** event.deltaY, toTime(event.offsetX));
  }, { passive: false });

  const step = (by) => { setPlaying(false); seek(state.frame + by); };
  page("play").addEventListener("click", () => setPlaying(!state.playing));
  page("back").addEventListener("click", (event) => step(event.shiftKey ? -10 : -1));
  page("next").addEventListener("click", (event) => step(event.shiftKey ? 10 : 1));
  page("in").addEventListener("click", () => zoom(0.5));
  page("out").addEventListener("click", () => zoom(2));
  page("all").addEventListener("click", () => setView(0, end));
  page("speed").addEventListener("change", () => { video.playbackRate = Number(page("speed").value); began = { at: performance.now(), time: times[state.frame] }; });
  const KEYS = {
    " ": () => setPlaying(!state.playing), ArrowLeft: (event) => step(event.shiftKey ? -10 : -1), ArrowRight: (event) => step(event.shiftKey ? 10 : 1),
    Home: () => step(-count), End: () => step(count), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => setView(0, end),
    "[": markFirst, "]": markLast,
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select") || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key](event);
  });
  new ResizeObserver(() => ask("all")).observe(page("stack"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { cache.clear(); styles = getComputedStyle(document.documentElement); ask("all"); });

  listRanges();
  drawTraces();
  window.viewer = { state, times, seek, addRange, setView, drawTraces, pairs, persons };
}
