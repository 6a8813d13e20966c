// Scores by slice: for which values of a feature a model is worse than for all.

const ERRORS = { binary: "share of wrong predictions", multiclass: "share of wrong predictions", regression: "mean absolute error", anomaly: "mean distance of the score from the label" };

// The rows of all values together, so that each can be held against it.
function wholeOf(rows) {
  const judged = rows.filter((row) => isNumber(row.mean_error));
  const events = judged.reduce((sum, row) => sum + row.events, 0);
  return { value: "all", events, mean_error: events ? judged.reduce((sum, row) => sum + row.events * row.mean_error, 0) / events : null };
}

function drawSliceChoice(features) {
  const select = byId("slice");
  if (drawn.get("slice") === features.join()) return;
  drawn.set("slice", features.join());
  const kept = select.value;
  select.replaceChildren(...features.map((feature) => option(feature, words(feature))));
  if (features.includes(kept)) select.value = kept;
}

function drawSlices() {
  const models = store.latest.models.filter(({ scores }) => scores.slices);
  const features = Object.keys(models[0]?.scores.slices ?? {});
  byId("slices-card").hidden = !features.length;
  if (!features.length) return;
  drawSliceChoice(features);
  const feature = byId("slice").value;
  const of = models.map(({ name, scores }) => ({ name, rows: scores.slices[feature], all: wholeOf(scores.slices[feature]) }));
  const most = Math.max(...of.flatMap(({ rows }) => rows.map((row) => row.mean_error ?? 0)), 1e-300);
  const cell = ({ name, rows, all }) => (index) => {
    const row = index < 0 ? all : rows[index];
    if (!isNumber(row.mean_error)) return NONE;
    const told = index < 0 ? [] : [element("span", "soft", `${signed(row.mean_error - all.mean_error)} `)];
    return element("span", "", ...told, score(row.mean_error), bar(row.mean_error / most, `${name}: ${score(row.mean_error)}`));
  };
  const events = (index) => Math.max(...of.map(({ rows, all }) => (index < 0 ? all : rows[index]).events));
  table("slices", [-1, ...of[0].rows.keys()], [
    [words(feature), (index) => (index < 0 ? "all" : of[0].rows[index].value)],
    ["events", (index) => whole(events(index)), "number"],
    ["share", (index) => share(events(index), events(-1)), "number"],
    ...of.map((each) => [each.name, cell(each), "number slice"]),
  ], "Nothing was judged yet.", `Errors by ${words(feature)}`);
  text("slices-what", `${ERRORS[store.latest.task] ?? "mean error"}, since the beginning, and how it differs from that of all; lower is better`);
}
