// What is told in tables: alarms, checkpoints, rejections, verdicts, happenings.

function drawAlarmsCard() {
  const { latest, alarms } = store;
  const newest = alarms.slice(-100).sort((a, b) => b.event_time_seconds - a.event_time_seconds), last = newest[0];
  text("drift", whole(latest.drift_alarms_total));
  text("drift-note", last && latest.drift_alarms_total ? `last: ${last.model || last.signal}, ${stamp(last.event_time_seconds).slice(0, 16)}` : "none so far");
  text("alarm-count", latest.drift_alarms_total ? `${whole(latest.drift_alarms_total)} in all, newest first` : "");
  table("alarms", newest.slice(0, 50), [
    ["event time", (row) => stamp(row.event_time_seconds)],
    ["what moved", (row) => element("span", "", whatMoved(row), ...(row.detail ? [element("span", "sub", arrow(row.detail))] : []))],
    ["detector", (row) => words(row.detector)],
    ["at", (row) => `${place(row)} ${whole(row.offset)}`],
  ], "None so far: inputs, outputs and errors are as they were.", "Drift alarms");
}

// The watched signals by how far they have moved since their reference, in parts of what is an alarm.
function drawMovers() {
  table("movers", store.latest.movers, [
    ["signal", whatMoved],
    ["was", (row) => figure(row.reference), "number"],
    ["is", (row) => figure(row.present), "number"],
    ["of an alarm", (row) => `${row.movement >= 1 ? "▲ " : ""}${Math.round(row.movement * 100)}%`, "number"],
  ], "Nothing compared yet: the reference windows are not full.", "What moved most");
}

function drawCheckpoints() {
  const { checkpoints, checkpoints_total: total, at_seconds: now } = store.latest;
  const oldest = checkpoints.reduce((a, row) => Math.min(a, row.timestamp_seconds), Infinity);
  const [amount, unit] = age(now - oldest).split(/ (.*)/);
  text("checkpoint", checkpoints.length ? amount : NONE);
  text("checkpoint-unit", checkpoints.length ? unit : "");
  text("checkpoint-note", checkpoints.length ? `number ${whole(checkpoints[0].sequence)}, ${bytes(checkpoints.reduce((sum, row) => sum + row.size_bytes, 0))}` : "none yet");
  text("checkpoint-count", total ? `${whole(total)} written by this process` : "");
  table("checkpoints", checkpoints, [
    ["shard", (row) => row.shard],
    ["number", (row) => whole(row.sequence), "number"],
    ["durable at", (row) => element("span", "", stamp(row.timestamp_seconds), element("span", "sub", `${age(now - row.timestamp_seconds)} ago`))],
    ["size", (row) => bytes(row.size_bytes), "number"],
    ["written in", (row) => duration(row.seconds), "number"],
    ["file", (row) => row.path.split("/").at(-1), "text"],
  ], "None yet.", "The newest checkpoint of each shard");
}

function drawRejections() {
  const { rejections, rejected_samples: samples } = store.latest;
  const rows = Object.entries(rejections).filter(([, count]) => count).sort((a, b) => b[1] - a[1]);
  const sample = ([reason]) => {
    const last = samples[reason];
    if (!last) return "";
    const where = `${place(last)} at ${whole(last.offset)}, ${last.size_bytes === null ? "no value" : bytes(last.size_bytes)}${last.detail ? `: ${last.detail}` : ""}`;
    return element("span", "", where, ...(last.text ? [element("code", "bytes", last.text)] : []));
  };
  table("rejections", rows, [
    ["reason", ([reason]) => words(reason)],
    ["events", ([, count]) => whole(count), "number"],
    ["the last one", sample, "text"],
  ], "None so far: every event could be read and learned.", "Rejected events by reason");
}

const VERDICTS = { better: "▲ better", worse: "▼ worse" };

// Whether a model is better than another one, as can be said at any time; and how far its shares can be trusted.
function drawVerdicts() {
  const { models } = store.latest;
  const rows = models.flatMap(({ name, scores }) => (scores.verdicts ?? []).map((verdict) => ({ name, ...verdict })));
  byId("verdicts-card").hidden = !rows.length;
  table("verdicts", rows, [
    ["model", (row) => row.name],
    ["is", (row) => VERDICTS[row.verdict] ?? words(row.verdict)],
    ["than", (row) => row.against],
    ["advantage", (row) => signed(row.advantage), "number"],
    ["surely between", (row) => `${signed(row.lower)} and ${signed(row.upper)}`, "number"],
    ["events", (row) => whole(row.events), "number"],
  ], "None.", "Verdicts on models");
  const errors = models.filter(({ scores }) => isNumber(scores.calibration?.error)).map(({ name, scores }) => `${name} ${score(scores.calibration.error)}`);
  text("calibration", errors.length ? `calibration error: ${errors.join(", ")}` : "");
}

const MARKS = { info: "", warning: "▲ ", error: "■ " };

function drawHappenings() {
  const told = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  table("happenings", [...store.latest.happenings].reverse(), [
    ["at", (row) => clock(row.at_seconds)],
    ["what", (row) => element("span", `level-${row.level}`, `${MARKS[row.level] ?? ""}${words(row.name)}`)],
    ["", (row) => Object.entries(row.fields).map(([name, value]) => `${words(name)}: ${told(value)}`).join("; "), "text"],
  ], "Nothing yet.", "The last happenings");
}

// A screen reader hears of alarms, but not of each one where they come by the dozen.
const ANNOUNCE_MILLISECONDS = 10000;
let announcedAt = -Infinity, unannounced = [];

function announce(fresh) {
  unannounced.push(...fresh);
  if (!unannounced.length || performance.now() - announcedAt < ANNOUNCE_MILLISECONDS) return;
  const more = unannounced.length > 1 ? ` and ${unannounced.length - 1} more` : "";
  byId("announce").textContent = `Drift alarm. ${alarmText(unannounced.at(-1))}${more}`;
  announcedAt = performance.now();
  unannounced = [];
}
