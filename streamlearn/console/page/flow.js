// How events flow: throughput, lag, the worker with its partitions, and where the time goes.

const LINES_MAX = 6; // partitions with a line of their own; the table has all

const inOrder = (a, b) => a.localeCompare(b, "en", { numeric: true });

const rateChart = new Chart({ id: "rate", label: "Events per second", nothing: "Waiting for events.", value: (value) => `${whole(value)}/s`, mark: short, fromZero: true });
const lagChart = new Chart({ id: "lag", label: "Lag in events", nothing: "No lag is known yet.", value: whole, mark: short, fromZero: true });

// The partitions that have a line of their own: those that lagged most.
function linesOfLag(points) {
  const most = {};
  for (const { lags } of points) for (const [name, lag] of Object.entries(lags)) most[name] = Math.max(most[name] ?? 0, lag);
  const names = Object.keys(most).sort((a, b) => most[b] - most[a] || inOrder(a, b)).slice(0, LINES_MAX);
  return names.length > 1 ? names.sort(inOrder) : [];
}

function drawFlowCharts() {
  const { points } = store, times = points.map((point) => point.at_seconds);
  rateChart.show([{ name: "events", colour: "series-0" }], [times, points.map((point) => point.events_per_second)]);
  const own = linesOfLag(points), of = store.latest.partitions.length;
  const series = [{ name: own.length && own.length < of ? `all ${of} partitions` : "all partitions", colour: "plain", dash: own.length ? [8, 5] : undefined, width: own.length ? 1.5 : 2 },
    ...own.map((name, index) => ({ name, colour: `series-${index}`, dash: index % 2 ? [10, 3] : undefined }))];
  const keys = JSON.stringify(series);
  if (drawn.get("lag-legend") !== keys) {
    drawn.set("lag-legend", keys);
    byId("lag-legend").replaceChildren(...series.map(({ name, colour: hue }) => element("span", "", swatch(hue), name)));
  }
  const known = points.filter((point) => point.lag_events !== null).length > 1;
  lagChart.show(series, known ? [times, points.map((point) => point.lag_events), ...own.map((name) => points.map((point) => point.lags[name] ?? null))] : [[]]);
}

function drawFlowTiles() {
  const { latest } = store;
  const lags = latest.partitions.map((row) => row.lag_events).filter(isNumber);
  const lag = lags.reduce((sum, each) => sum + each, 0), rate = latest.events_per_second;
  text("rate", short(rate));
  text("rate-note", latest.events_read ? `${short(latest.events_read)} read in ${age(latest.uptime_seconds)}` : "nothing read yet");
  text("lag", lags.length ? short(lag) : NONE);
  text("lag-note", !lags.length ? "not known yet" : !lag ? "caught up" : rate >= 1 ? `${duration(lag / rate)} at this rate` : "nothing moves");
  text("learned", short(latest.events_learned));
  text("learned-note", latest.event_time_seconds === null ? "\u00a0" : `up to ${stamp(latest.event_time_seconds).slice(0, 16)}`);
  text("rejected", short(latest.events_rejected));
  const reasons = Object.entries(latest.rejections).filter(([, count]) => count).sort((a, b) => b[1] - a[1]);
  text("rejected-note", latest.events_rejected ? `${share(latest.events_rejected, latest.events_read)}, most: ${words(reasons[0]?.[0] ?? "")}` : "none");
}

function drawWorker() {
  const { worker, role, scope, partitions } = store.latest;
  const most = Math.max(1, ...partitions.map((row) => row.lag_events ?? 0));
  text("worker", worker === null ? "" : [
    `${worker.host}, process ${worker.process_id}`,
    worker.group === null ? "no group: local files" : `group ${worker.group}`,
    role === "member" ? `a member, scope ${scope}` : role === "leader" ? "leader: it learns" : "standby: another worker learns",
    `${plural(worker.assigned_partitions, "partition")} assigned`, `${plural(worker.owned_shards, "shard")} held`,
  ].join(" · "));
  table("partitions", partitions, [
    ["partition", place],
    ["assigned to", (row) => (row.assigned ? "● this worker" : "○ another worker")],
    ["shard, learned by", (row) => row.shard ?? "another worker"],
    ["next offset", (row) => whole(row.next_offset), "number"],
    ["lag, events", (row) => element("span", "", whole(row.lag_events), bar((row.lag_events ?? 0) / most, `lag ${whole(row.lag_events)} of at most ${whole(most)}`)), "number"],
  ], "No partition is assigned.", "Partitions of this worker");
}

function drawStages() {
  if (!store.stages.length) return; // the daemon has not taken a picture yet
  const now = store.stages.at(-1), then = store.stages[0], seconds = now.at_seconds - then.at_seconds;
  const before = new Map(then.stages.map((each) => [each.stage, each]));
  const rows = now.stages.map((each) => {
    const old = before.get(each.stage) ?? { seconds: 0, batches: 0 };
    return { ...each, recent: seconds > 0 ? (each.seconds - old.seconds) / seconds : 0 };
  });
  table("stages", rows, [
    ["stage", (row) => row.stage],
    ["share", (row) => bar(row.recent, `${share(row.recent, 1)} of the time`), "wide-cell"],
    ["of the time", (row) => share(row.recent, 1), "number"],
    ["mean", (row) => duration(row.seconds / row.batches), "number"],
    ["timed", (row) => `${short(row.batches)}×`, "number"],
  ], "Nothing was timed yet.", "Stages of the belt");
}
