// Labels that come late: how many have come, how long they took, what waits, and what became of each.

// What an outcome means, in the words of docs/labels.md.
const WAITS_ENDED = {
  resolved: "the label came in time", expired: "no label in time: dropped", defaulted: "no label in time: learned with labels.on_expiry",
  default_refused: "no label in time; learning the default would have ruined a model", pending: "wait for their labels now",
};
const LABELS_DONE = {
  joined: "met an event that waited", orphaned: "no event of theirs came", duplicate: "said again what was known",
  late_ignored: "after the wait: ignored", late_learned: "after the wait: learned", late_corrected: "after the wait: learned, the default undone",
  correction_ignored: "another label than before: ignored", correction_learned: "another label than before: learned", rejected: "could not be read",
  early: "wait for their events now",
};
const DELAYS = { 0.5: "half of the labels came within", 0.9: "9 in 10 came within", 0.99: "99 in 100 came within" };

function figureOf(heading, amount, note, ...more) {
  return element("div", "", element("dt", "", heading), element("dd", "", element("b", "", amount)), ...more, element("dd", "soft", note));
}

function drawLabelFigures(labels) {
  const key = JSON.stringify(labels);
  if (drawn.get("labels-figures") === key) return;
  drawn.set("labels-figures", key);
  const covered = labels.coverage_ratio ?? 0, full = labels.pending_bytes / labels.pending_bytes_max;
  const percent = labels.coverage_ratio === null ? NONE : share(covered, 1);
  byId("labels-figures").replaceChildren(
    figureOf("Coverage", percent, "of the events have their label", element("dd", "", bar(covered, `coverage ${percent}`))),
    ...Object.entries(DELAYS).map(([quantile, note]) => figureOf(`Delay, p${Math.round(100 * quantile)}`, duration(labels.delay_seconds[quantile]), note)),
    figureOf("Pending, events", short(labels.pending_events), `each waits ${duration(labels.wait_seconds)} at most`),
    figureOf("Kept, bytes", bytes(labels.pending_bytes), `of ${bytes(labels.pending_bytes_max)} a shard`, element("dd", "", bar(full, `${share(full, 1)} of what a shard may keep`))),
    figureOf("Early labels", short(labels.early_labels), "wait for their events"),
  );
}

// Outcomes that happened, as shares of all; those that did not, in one line.
function drawOutcomes(id, counts, meanings, caption) {
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const rows = Object.entries(counts).filter(([, count]) => count).sort((a, b) => b[1] - a[1]);
  table(id, rows, [
    ["outcome", ([name]) => element("span", "", words(name), element("span", "sub", meanings[name] ?? ""))],
    ["count", ([, count]) => whole(count), "number"],
    ["share", ([, count]) => element("span", "", share(count, all), bar(count / all, share(count, all))), "number"],
  ], "None so far.", caption);
  const none = Object.keys(counts).filter((name) => !counts[name]);
  text(`${id}-none`, rows.length && none.length ? `None so far: ${none.map(words).join(", ")}.` : "");
}

function drawLabels() {
  const { labels } = store.latest;
  byId("labels-card").hidden = byId("coverage-tile").hidden = labels === null;
  if (labels === null) return;
  text("coverage", labels.coverage_ratio === null ? NONE : share(labels.coverage_ratio, 1));
  text("coverage-note", `${short(labels.pending_events)} wait${isNumber(labels.delay_seconds[0.5]) ? `; p50 ${duration(labels.delay_seconds[0.5])}` : ""}`);
  text("labels-full", labels.full_shards ? `▲ ${plural(labels.full_shards, "shard")} may keep no more: no events are read until labels come` : "");
  drawLabelFigures(labels);
  drawOutcomes("labels-events", { ...labels.events, pending: labels.pending_events }, WAITS_ENDED, "Events by how their wait ended");
  drawOutcomes("labels-labels", { ...labels.labels, early: labels.early_labels }, LABELS_DONE, "Labels by what became of them");
}
