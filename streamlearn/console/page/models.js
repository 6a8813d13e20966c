// Models against the baselines: the chart over event time with drift alarms on the curves, and the table.

const SERIES = 6; // colours that there are
const DASHES = [undefined, [12, 4], [2, 3]]; // the second and third time round
const MARK_PIXELS = 12;

function look(name) {
  const index = store.latest.models.findIndex((model) => model.name === name);
  if (index < 0) {
    const baseline = store.latest.baselines.findIndex((model) => model.name === name);
    return { name, colour: "plain", dash: baseline % 2 ? [2, 4] : [8, 5], width: 1.5 };
  }
  return { name, colour: `series-${index % SERIES}`, dash: DASHES[Math.floor(index / SERIES) % DASHES.length] };
}

const better = (metric, one, other) => (LOWER_IS_BETTER.has(metric) ? one < other : one > other);
const span = (values) => [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];

// The range of the models and of the best baseline; another baseline is in view when it costs little.
function modelsInView(chart) {
  const metric = byId("metric").value;
  const shown = chart.series.map(({ name }, index) => ({ name, values: chart.data[index + 1].filter(isNumber) }))
    .filter(({ name, values }) => values.length && !chart.hidden.has(name));
  if (!shown.length) return null;
  const isBaseline = ({ name }) => store.latest.baselines.some((baseline) => baseline.name === name);
  const baselines = shown.filter(isBaseline)
    .sort((a, b) => (better(metric, a.values.at(-1), b.values.at(-1)) ? -1 : 1));
  let [low, high] = span(shown.filter((each) => !isBaseline(each)).flatMap(({ values }) => values));
  chart.outOfView = [];
  for (const { name, values } of baselines) {
    const [least, most] = span(values);
    const [wideLow, wideHigh] = [Math.min(low, least), Math.max(high, most)];
    if (!isNumber(low) || wideHigh - wideLow <= 4 * Math.max(high - low, 0.02)) [low, high] = [wideLow, wideHigh];
    else chart.outOfView.push(name);
  }
  return [low, high];
}

function valueAt(columns, at, seconds) {
  const times = columns[0];
  let low = 0, high = times.length - 1;
  if (seconds < times[0] || seconds > times[high]) return null;
  while (high - low > 1) { const middle = (low + high) >> 1; if (times[middle] <= seconds) low = middle; else high = middle; }
  const [before, after] = [columns[at][low], columns[at][high]];
  if (!isNumber(before) || !isNumber(after)) return isNumber(after) ? after : null;
  return before + ((after - before) * (seconds - times[low])) / (times[high] - times[low] || 1);
}

// A triangle on the model's curve where a detector raised an alarm; alarms that would cover each other are one.
function drawAlarms(plot, chart) {
  const { ctx } = plot, ratio = devicePixelRatio || 1, size = 4.5 * ratio;
  const { left, top, width, height } = plot.bbox;
  const hue = colour("alarm"), ground = colour("card"), taken = new Set();
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top - size, width, height + 2 * size);
  ctx.clip();
  for (const alarm of store.alarms) {
    const at = chart.series.findIndex(({ name }) => name === alarm.model);
    if (alarm.model && (at < 0 || chart.hidden.has(alarm.model))) continue;
    const value = valueAt(chart.data, Math.max(at, 0) + 1, alarm.event_time_seconds);
    if (value === null) continue;
    const x = plot.valToPos(alarm.event_time_seconds, "x", true);
    const y = alarm.model ? plot.valToPos(value, "y", true) : top + height; // an input's stands on the axis
    const key = `${at} ${Math.round(x / (MARK_PIXELS * ratio))}`;
    if (taken.has(key)) continue;
    taken.add(key);
    ctx.beginPath();
    ctx.moveTo(x, y - 1.5 * ratio);
    ctx.lineTo(x - size, y - 2.1 * size);
    ctx.lineTo(x + size, y - 2.1 * size);
    ctx.closePath();
    ctx.fillStyle = hue;
    ctx.strokeStyle = ground;
    ctx.lineWidth = 1.5 * ratio;
    ctx.stroke();
    ctx.fill();
  }
  ctx.restore();
  chart.host.dataset.alarms = String(taken.size);
}

const whatMoved = ({ model, signal }) => `${words(signal)}${model ? ` of ${model}` : ""}`;
const arrow = (detail) => detail.replace("->", "→");
const figure = (value) => (isNumber(value) ? Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 }) : NONE);
const alarmText = (alarm) => `drift: ${whatMoved(alarm)}${alarm.detail ? ` ${arrow(alarm.detail)}` : ""} (${words(alarm.detector)}), ${stamp(alarm.event_time_seconds)}, ${place(alarm)} at ${whole(alarm.offset)}`;

// The alarms nearer to this time than the next points are.
function alarmsNear(seconds, chart) {
  const plot = chart.plot;
  const near = store.alarms.filter((alarm) => !chart.hidden.has(alarm.model)
    && Math.abs(plot.valToPos(alarm.event_time_seconds, "x") - plot.valToPos(seconds, "x")) < MARK_PIXELS);
  return near.length > 1 ? [`${alarmText(near.at(-1))} and ${near.length - 1} more`] : near.map(alarmText);
}

const modelsChart = new Chart({
  id: "models", label: "Score of each model over event time", nothing: "Waiting for scores.", value: score,
  mark: (value) => value.toLocaleString("en", { maximumFractionDigits: 4 }), inView: modelsInView, drawOver: drawAlarms, say: alarmsNear,
});

const over = () => byId("over").value; // the window whose scores are shown

function drawOverChoice() {
  const { window_events: events, fading_factor: factor } = store.latest;
  const named = [`the last ${whole(events)} events`, `all, fading by ${factor} an event`, "all events"];
  if (drawn.get("over") === named.join()) return;
  drawn.set("over", named.join());
  [...byId("over").options].forEach((made, index) => { made.textContent = named[index]; });
}

function drawMetricChoice() {
  const metrics = [...new Set(scored().flatMap((row) => Object.keys(row[over()])))];
  const select = byId("metric");
  select.disabled = !metrics.length;
  if (drawn.get("metric") !== metrics.join()) {
    drawn.set("metric", metrics.join());
    const kept = select.value;
    select.replaceChildren(...metrics.map((metric) => option(metric, words(metric))));
    if (metrics.includes(kept)) select.value = kept;
  }
}

function drawModelsLegend() {
  const metric = byId("metric").value, host = byId("models-legend");
  const alarms = store.alarms.length ? ["▼"] : [];
  const key = JSON.stringify([metric, scored().map((row) => [row.name, row[over()][metric]]), [...modelsChart.hidden], modelsChart.outOfView, alarms]);
  if (drawn.get("legend") === key) return;
  drawn.set("legend", key);
  const focused = document.activeElement?.dataset?.name;
  host.replaceChildren(...scored().map((row) => {
    const { name } = row;
    const out = modelsChart.outOfView?.includes(name) ? " (out of view)" : "";
    const made = element("button", "", swatch(look(name).colour), `${name} ${score(row[over()][metric])}${out}`);
    made.type = "button";
    made.dataset.name = name;
    made.setAttribute("aria-pressed", String(!modelsChart.hidden.has(name)));
    made.addEventListener("click", () => { modelsChart.toggle(name); drawModelsChart(); });
    return made;
  }), ...alarms.map((mark) => {
    const made = element("span", "alarm-key", element("span", "alarm-mark", mark), " drift alarm");
    return made;
  }));
  if (focused) host.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
}

function drawModelsChart() {
  const metric = byId("metric").value, points = scorePoints(), names = scored().map(({ name }) => name);
  const columns = names.map((name) => points.map((point) => point.scores[over()]?.[name]?.[metric] ?? null));
  const any = columns.some((column) => column.some(isNumber));
  modelsChart.show(names.map(look), any ? [points.map((point) => point.event_time_seconds), ...columns] : [[]]);
  drawModelsLegend();
  text("direction", !metric ? "" : `${words(metric)}, over event time; ${LOWER_IS_BETTER.has(metric) ? "lower" : "higher"} is better`);
}

function drawModelsTable() {
  const rows = scored(), best = {}, isWhole = over() === "cumulative";
  const metrics = [...new Set(rows.flatMap((row) => [...Object.keys(row[over()]), ...Object.keys(row.cumulative)]))];
  for (const metric of metrics) {
    for (const row of rows) {
      const value = row[over()][metric];
      if (isNumber(value) && (best[metric] === undefined || better(metric, value, best[metric]))) best[metric] = value;
    }
  }
  const cell = (metric) => (row) => {
    const value = row[over()][metric];
    const now = element("span", isNumber(value) && value === best[metric] ? "best" : "", score(value));
    return element("span", "", now, ...(isWhole ? [] : [element("span", "sub", score(row.cumulative[metric]))]));
  };
  const engine = (row) => element("span", "", row.engine, ...(row.engine_why ? [element("span", "sub", `not compiled: ${row.engine_why}`)] : []));
  table("models", rows, [
    ["model", (row) => element("span", "", swatch(look(row.name).colour), ` ${row.name}`)],
    ["engine", engine, "engine"],
    ["learned, events", (row) => whole(row.events_learned), "number"],
    ...metrics.map((metric) => [words(metric), cell(metric), "number"]),
  ], "No model yet: no shard is open here.", "Models and baselines");
  text("window", `${byId("over").selectedOptions[0].textContent}${isWhole ? "" : "; below, since the beginning"}; ★ best`);
}

// The best model and how far it is ahead of the best baseline, by the chosen metric.
function drawBest() {
  const metric = byId("metric").value;
  const first = (rows) => rows.filter((row) => isNumber(row[over()][metric]))
    .sort((a, b) => (better(metric, a[over()][metric], b[over()][metric]) ? -1 : 1))[0];
  const model = first(store.latest.models), baseline = first(store.latest.baselines);
  text("best", model ? score(model[over()][metric]) : NONE);
  text("best-unit", model ? `, ${words(metric)}` : "");
  if (!model) { text("best-note", store.latest.models.length ? "not judged yet" : "\u00a0"); return; }
  if (!baseline) { text("best-note", model.name); return; }
  const ahead = model[over()][metric] - baseline[over()][metric];
  const is = ahead === 0 ? "level with" : better(metric, model[over()][metric], baseline[over()][metric]) ? "better than" : "WORSE than";
  text("best-note", `${model.name}, ${Math.abs(ahead).toFixed(4)} ${is} ${words(baseline.name)}`);
}

function drawModels() {
  drawOverChoice();
  drawMetricChoice();
  drawModelsChart();
  drawModelsTable();
  drawBest();
}
