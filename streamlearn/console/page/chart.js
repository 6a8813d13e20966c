// One uPlot chart with the keyboard, a line of text for what is under the cursor, and a table of the same.

const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
const TABLE_ROWS = 24;
const HINT = "Point at the chart, or walk along it with the arrow keys.";

// UTC, by how far the marks are apart.
function timeMark(seconds, apart) {
  const iso = new Date(seconds * 1000).toISOString();
  const day = new Date(seconds * 1000).toLocaleDateString("en", { month: "short", day: "numeric", timeZone: "UTC" });
  if (apart >= 86400) return day;
  if (apart >= 60) return iso.slice(11, 16) === "00:00" ? day : iso.slice(11, 16);
  return iso.slice(11, 19);
}

class Chart {
  // settings: {id, label, value(number) -> text, nothing, low, range?(values), drawOver?(uplot), say?(uplot, index)}
  constructor(settings) {
    this.settings = settings;
    this.host = byId(`${settings.id}-chart`);
    this.pick = byId(`${settings.id}-pick`);
    this.details = byId(`${settings.id}-data`);
    this.hidden = new Set();
    this.series = [];   // {name, colour, dash}
    this.data = [[]];
    this.plot = null;
    this.key = "";
    this.host.tabIndex = 0;
    this.host.setAttribute("role", "group");
    this.host.setAttribute("aria-roledescription", "chart");
    this.host.addEventListener("keydown", (event) => this.onKey(event));
    this.host.addEventListener("blur", () => this.plot?.setCursor({ left: -10, top: -10 }));
    this.details.addEventListener("toggle", () => this.drawTable());
    new ResizeObserver(() => this.resize()).observe(this.host);
  }

  // series: {name, colour: custom colour's name, dash}; data: columns, the first one time.
  show(series, data) {
    this.series = series;
    this.data = data;
    const label = `${this.settings.label}: ${this.summary()}`;
    if (this.host.getAttribute("aria-label") !== label) this.host.setAttribute("aria-label", label);
    if (data[0].length < 2) {
      this.drop();
      if (!this.host.firstChild) this.host.replaceChildren(element("p", "empty", this.settings.nothing));
      return;
    }
    const key = JSON.stringify([series, [...this.hidden], this.host.clientWidth > 0]);
    if (!this.plot || this.key !== key) this.make(key);
    else this.plot.setData(data);
    if (this.details.open) this.drawTable();
  }

  summary() {
    const last = this.series.map(({ name }, index) => [name, this.data[index + 1]?.findLast(isNumber)]);
    const told = last.filter(([, value]) => isNumber(value)).slice(0, 8);
    return told.map(([name, value]) => `${name} ${this.settings.value(value)}`).join(", ") || this.settings.nothing;
  }

  make(key) {
    this.drop();
    this.key = key;
    this.host.replaceChildren();
    const soft = colour("soft"), line = colour("line");
    const axis = { stroke: soft, font: FONT, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      width: this.host.clientWidth || 300, height: this.host.clientHeight || 190, padding: [8, 22, 0, 0],
      legend: { show: false }, cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { y: { range: (plot, low, high) => this.range(low, high) } },
      axes: [
        { ...axis, space: 70, size: 26, gap: 4, values: (plot, marks, _axis, _space, apart) => marks.map((mark) => timeMark(mark, apart)) },
        { ...axis, size: 58, gap: 4, values: (plot, marks) => marks.map((mark) => this.settings.mark(mark)) },
      ],
      series: [{}, ...this.series.map(({ name, colour: hue, dash, width }) => ({
        label: name, stroke: colour(hue), width: width ?? 2, dash, show: !this.hidden.has(name), points: { show: false }, spanGaps: false,
      }))],
      hooks: {
        draw: [(plot) => this.settings.drawOver?.(plot, this)],
        setCursor: [(plot) => this.say(plot.cursor.idx)],
      },
    }, this.data, this.host);
  }

  // Lines that would squeeze all others flat are let out of view; the legend says so.
  range(low, high) {
    const seen = this.settings.inView ? this.settings.inView(this) : null;
    if (seen) [low, high] = seen;
    if (!isNumber(low)) return [0, 1];
    const air = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    return [this.settings.fromZero ? 0 : low - air, high + air];
  }

  say(index) {
    let told = HINT;
    if (isNumber(index) && isNumber(this.data[0][index])) {
      const values = this.series.map(({ name }, at) => [name, this.data[at + 1][index]])
        .filter(([name, value]) => isNumber(value) && !this.hidden.has(name))
        .map(([name, value]) => `${name} ${this.settings.value(value)}`);
      const more = this.settings.say?.(this.data[0][index], this) ?? [];
      told = [stamp(this.data[0][index]), ...values, ...more].join(" · ");
    }
    if (this.pick.textContent !== told) this.pick.textContent = told;
  }

  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || !this.plot) return;
    event.preventDefault();
    const last = this.data[0].length - 1;
    const from = this.plot.cursor.idx ?? last + 1;
    const index = Math.max(0, Math.min(last, from + steps[event.key]));
    this.plot.setCursor({ left: this.plot.valToPos(this.data[0][index], "x"), top: 10 });
    byId("announce").textContent = this.pick.textContent;
  }

  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (this.plot && width && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }

  redraw() { // after a change of colours
    this.key = "";
    this.show(this.series, this.data);
  }

  drop() {
    if (this.plot) { this.plot.destroy(); this.plot = null; this.host.replaceChildren(); }
  }

  drawTable() {
    const host = this.details.querySelector(".wide");
    if (!this.details.open) { host.replaceChildren(); drawn.delete(host); return; }
    const count = this.data[0].length, rows = Math.min(TABLE_ROWS, count);
    const indices = Array.from({ length: rows }, (_, row) => Math.round(((count - 1) * (row + 1)) / rows)).reverse();
    table(host, indices, [
      ["time", (index) => stamp(this.data[0][index])],
      ...this.series.map(({ name }, at) => [name, (index) => this.settings.value(this.data[at + 1][index]), "number"]),
    ], this.settings.nothing, `${this.settings.label}, newest first`);
  }
}
