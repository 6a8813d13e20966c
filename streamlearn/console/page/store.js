// What the page knows: the past hour, the last picture, the alarms. Bounded as the daemon's own history is.

const POINTS_MAX = 2400;
const HISTORY_SECONDS = 3600;
const ALARMS_MAX = 1000;
const WINDOWS = ["sliding", "fading", "cumulative"];
const RECENT_SECONDS = 10; // over which the stages' shares go

const store = {
  points: [],    // as api/history has them, oldest first
  alarms: [],    // oldest first
  latest: null,  // the last status
  stages: [],    // {at_seconds, stages}: of the last seconds
};

function setPast(past) {
  store.points = past.points;
  store.alarms = past.alarms;
}

function pointOf(status) {
  const lags = {};
  for (const row of status.partitions) if (row.lag_events !== null) lags[place(row)] = row.lag_events;
  const values = Object.values(lags);
  const scores = Object.fromEntries(WINDOWS.map((name) => [name, {}]));
  for (const model of [...status.models, ...status.baselines]) for (const name of WINDOWS) scores[name][model.name] = model[name];
  return {
    at_seconds: status.at_seconds, event_time_seconds: status.event_time_seconds,
    events_per_second: status.events_per_second,
    lag_events: values.length ? values.reduce((sum, lag) => sum + lag, 0) : null,
    lags: values.length <= 16 ? lags : {}, scores,
  };
}

const alarmKey = (alarm) => `${alarm.model} ${alarm.detector} ${alarm.signal} ${place(alarm)} ${alarm.offset}`;

// Takes a new picture in; returns the alarms that were not known.
function addStatus(status) {
  store.latest = status;
  const last = store.points.at(-1);
  if (status.at_seconds > (last?.at_seconds ?? 0)) {
    store.points.push(pointOf(status));
    const oldest = status.at_seconds - HISTORY_SECONDS;
    if (store.points[0].at_seconds < oldest) store.points = store.points.filter((point) => point.at_seconds >= oldest);
    if (store.points.length > POINTS_MAX) store.points = store.points.filter((_, index) => index % 2 === 0);
  }
  if (status.at_seconds) store.stages.push({ at_seconds: status.at_seconds, stages: status.stages });
  while (store.stages.length > 2 && store.stages[1].at_seconds < status.at_seconds - RECENT_SECONDS) store.stages.shift();
  const known = new Set(store.alarms.slice(-200).map(alarmKey));
  const fresh = status.drift_alarms.filter((alarm) => !known.has(alarmKey(alarm)));
  store.alarms = [...store.alarms, ...fresh].slice(-ALARMS_MAX);
  return fresh;
}

const scored = () => [...store.latest.models, ...store.latest.baselines];

// The scores over event time, which a chart needs to go forward.
function scorePoints() {
  const forward = [];
  for (const point of store.points) {
    if (point.event_time_seconds !== null && point.event_time_seconds > (forward.at(-1)?.event_time_seconds ?? -Infinity)) forward.push(point);
  }
  return forward;
}
