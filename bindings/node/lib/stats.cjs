'use strict';

const { tables } = require('./native.cjs');
const { check } = require('./error.cjs');

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** A snapshot as the glue has it, with names as JavaScript has them; or a status, which is thrown. */
function readStats(told) {
  if (typeof told === 'number') {
    check(told);
  }
  const stats = {};
  for (const [name, value] of Object.entries(told)) {
    stats[camel(name)] = value;
  }
  stats.triggers = Object.fromEntries(tables.triggers.map((name, at) => [name, told.triggers[at]]).filter(Boolean));
  stats.refusals = Object.fromEntries(
    tables.statuses.filter(({ code }) => code < 0 && told.refusals[-code] > 0).map(({ code, name }) => [name, told.refusals[-code]]),
  );
  return stats;
}

/** A text, or a status, which is thrown. */
function readText(told) {
  if (typeof told === 'number') {
    check(told);
  }
  return told;
}

module.exports = { readStats, readText };
