// The head of the page, its colours, and its connection to the daemon.

const SILENCE_MILLISECONDS = 6000; // longer, and the connection counts as lost
const AGAIN_MILLISECONDS = 2000;
const THEMES = ["system", "light", "dark"];

let connection = "connecting"; // connecting | open | lost | ended
let lostAt = null, heardAt = performance.now(), source = null, isDue = false, pastWanted = true;

function verdict(latest) {
  if (latest.unhealthy.length) return ["■ unhealthy", "bad"];
  if (latest.role === "standby") return ["◐ standby", ""];
  return latest.unready.length ? ["▲ not ready", ""] : ["● ready", "good"];
}

function drawHead() {
  const { latest } = store, pill = byId("state"), notice = byId("notice");
  const reasons = latest ? [...latest.unhealthy, ...latest.unready] : [];
  let [word, kind] = latest ? verdict(latest) : ["connecting", ""];
  let told = reasons.join("; "), isBad = latest?.unhealthy.length > 0;
  if (connection === "lost" || connection === "ended") {
    [word, kind] = connection === "lost" ? ["■ no connection", "bad"] : ["□ ended", ""];
    const of = latest ? ` The figures are of ${clock(latest.at_seconds)}.` : "";
    told = connection === "lost" ? `Connection lost, trying again.${of}` : `The daemon has ended in order.${of} This page goes on when it comes back.`;
    isBad = connection === "lost";
  }
  text("state", word);
  pill.className = `pill ${kind}`;
  notice.hidden = !told;
  notice.className = isBad ? "notice bad" : "notice";
  text("notice", told);
  if (!latest) return;
  text("stream", latest.stream);
  document.title = `${word} · ${latest.stream} · streamlearn`;
  text("facts", [latest.task, `scope ${latest.scope}`, latest.role].join(" · "));
  text("uptime", latest.uptime_seconds ? `up ${age(latest.uptime_seconds)}` : "");
  text("version", latest.worker?.version ?? "");
}

function draw() {
  isDue = false;
  drawHead();
  if (!store.latest) return;
  drawFlowTiles();
  drawModels();
  drawFlowCharts();
  drawAlarmsCard();
  drawMovers();
  drawWorker();
  drawStages();
  drawCheckpoints();
  drawRejections();
  drawLabels();
  drawVerdicts();
  drawSlices();
  drawHappenings();
}

// Many pictures, one drawing; none while nobody looks.
function drawSoon() {
  if (isDue || document.hidden) return;
  isDue = true;
  requestAnimationFrame(draw);
}

async function takePast() {
  pastWanted = false;
  try {
    const answer = await fetch("api/history", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(String(answer.status));
    setPast(await answer.json());
    if (store.latest) addStatus(store.latest);
    drawSoon();
  } catch {
    pastWanted = true; // the charts go on from here, and the next picture asks again
  }
}

function heard(message) {
  const status = JSON.parse(message.data);
  heardAt = performance.now();
  connection = "open";
  const isAnother = store.latest && (status.uptime_seconds < store.latest.uptime_seconds || status.stream !== store.latest.stream);
  if (isAnother) { setPast({ points: [], alarms: [] }); store.stages = []; pastWanted = true; }
  const isFirst = !store.latest;
  const fresh = addStatus(status);
  if (!isFirst) announce(fresh);
  if (pastWanted) takePast();
  drawSoon();
}

function lose() {
  if (connection !== "ended") connection = "lost";
  pastWanted = true;
  drawHead();
}

function connect() {
  source?.close();
  heardAt = performance.now();
  source = new EventSource("api/events");
  source.addEventListener("message", heard);
  source.addEventListener("end", () => { connection = "ended"; pastWanted = true; drawHead(); });
  // Where the browser gives up (the daemon has too many pages, say), this page does not.
  source.addEventListener("error", () => { lose(); if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MILLISECONDS); });
}

setInterval(() => {
  if (performance.now() - heardAt < SILENCE_MILLISECONDS) return;
  lose();
  if (source.readyState !== EventSource.CLOSED) connect();
}, 1000);

document.addEventListener("visibilitychange", drawSoon);

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  text("theme", `Colours: ${theme}`);
  try { localStorage.setItem("theme", theme); } catch { /* private windows keep nothing */ }
  for (const chart of [modelsChart, rateChart, lagChart]) chart.redraw();
}

function keptTheme() {
  try { return localStorage.getItem("theme"); } catch { return null; }
}

byId("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "system";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(document.documentElement.dataset.theme ?? "system"));
for (const choice of ["metric", "over"]) byId(choice).addEventListener("change", () => { if (store.latest) drawModels(); });
byId("slice").addEventListener("change", drawSlices);
setTheme(THEMES.includes(keptTheme()) ? keptTheme() : "system");
connect();
