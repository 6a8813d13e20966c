// Everything shown is set as text, never as markup: names and bytes come from messages and config files.

const byId = (id) => document.getElementById(id);
const drawn = new Map(); // element id -> what it shows, so that only what changed is touched

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function text(id, value) {
  if (byId(id).textContent !== value) byId(id).textContent = value;
}

// columns: [heading, cell of a row, class]; the first column names its row.
function table(host, rows, columns, none, caption) {
  const target = typeof host === "string" ? byId(host) : host;
  const filled = rows.map((row) => columns.map(([, cell]) => cell(row)));
  const key = JSON.stringify([columns.map(([heading]) => heading), filled.map((cells) => cells.map((cell) => cell?.outerHTML ?? cell))]);
  if (drawn.get(target) === key) return;
  drawn.set(target, key);
  if (!rows.length) {
    target.replaceChildren(element("span", "soft", none));
    target.removeAttribute("tabindex");
    return;
  }
  const head = element("tr", "", ...columns.map(([heading, , kind]) => {
    const cell = element("th", kind?.startsWith("number") ? "number" : "", heading);
    cell.scope = "col";
    return cell;
  }));
  const body = filled.map((cells) => element("tr", "", ...cells.map((content, index) => {
    const cell = element(index ? "td" : "th", columns[index][2] ?? "", content);
    if (!index) cell.scope = "row";
    return cell;
  })));
  const made = element("table", "", element("caption", "unseen", caption), element("thead", "", head), element("tbody", "", ...body));
  const { scrollLeft, scrollTop } = target;
  target.replaceChildren(made);
  target.scrollTo(scrollLeft, scrollTop);
  // Whoever has no mouse must be able to scroll it.
  target.tabIndex = 0;
  target.setAttribute("role", "region");
  target.setAttribute("aria-label", caption);
}

function bar(part, label) {
  const fill = element("i", "");
  fill.style.width = `${Math.max(0, Math.min(100, 100 * part)).toFixed(1)}%`;
  const made = element("span", "bar", fill);
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  return made;
}

function option(value, label) {
  const made = element("option", "", label);
  made.value = value;
  return made;
}

function swatch(className) {
  const made = element("i", `swatch ${className}`);
  made.setAttribute("aria-hidden", "true");
  return made;
}

// What a custom colour is under the scheme at work; a canvas takes no variables.
function colour(name) {
  const probe = byId("announce");
  probe.style.color = `var(--${name})`;
  const found = getComputedStyle(probe).color;
  probe.style.color = "";
  return found;
}
