"use strict";
// How values are written. Units are those of the daemon: base units, times in seconds since 1970, shown in UTC.

const NONE = "–";
// Of the metrics that there are; every other one is better when it is higher.
const LOWER_IS_BETTER = new Set(["log_loss", "brier", "brier_score", "mae", "rmse", "mse", "calibration_error"]);

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const whole = (value) => (isNumber(value) ? Math.round(value).toLocaleString("en") : NONE);
const score = (value) => (isNumber(value) ? value.toFixed(4) : NONE);
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`;
const words = (name) => name.replaceAll("_", " ");
const stamp = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);
const place = (row) => `${row.topic}[${row.partition}]`;
const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;

// Large counts as three digits and a letter, so that a tile never breaks.
function short(value) {
  if (!isNumber(value)) return NONE;
  for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"]]) {
    if (value >= size) return `${(value / size).toPrecision(3)} ${letter}`;
  }
  return whole(value);
}

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let index = 0;
  while (count >= 1000 && index < units.length - 1) { count /= 1000; index += 1; }
  return `${index ? count.toFixed(1) : count} ${units[index]}`;
}

function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 2 : 1)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

// In whole seconds: an age counts on, and need not jitter.
const age = (seconds) => (seconds < 10 ? `${Math.max(0, Math.floor(seconds))} s` : duration(seconds));

const share = (part, of) => {
  const percent = of ? (100 * part) / of : 0;
  return `${percent && percent < 1 ? percent.toPrecision(2) : percent.toFixed(percent < 10 ? 1 : 0)} %`;
};
