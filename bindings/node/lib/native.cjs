'use strict';
// The native half, and the tables it hands out.

const place = `../prebuilds/${process.platform}-${process.arch}/microbatch.node`;

function load() {
  try {
    return require(place);
  } catch (cause) {
    throw new Error(
      `microbatch has no binary for ${process.platform}-${process.arch} here (${cause.message}); ` +
        'the package brings one for linux-x64 with glibc, and build.sh of the sources makes others',
      { cause },
    );
  }
}

const native = load();
const tables = native.tables();

/** Numbers by name: KIND.int64, STATUS.QUEUE_FULL. */
const byName = (names) => Object.fromEntries(names.map((name, at) => [name, at]));
const KIND = Object.freeze(byName(tables.kinds));
const STATUS = Object.freeze(Object.fromEntries(tables.statuses.map(({ name, code }) => [name, code])));
/** The place of the default handler, after those of the kinds. */
const DEFAULT_HANDLER = tables.kinds.length;

module.exports = { native, tables, KIND, STATUS, DEFAULT_HANDLER };
