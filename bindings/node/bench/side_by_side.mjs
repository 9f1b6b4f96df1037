// The whole job side by side with what people write by hand, with dataloader and with p-queue (which has no batches: a task for
// each value): push a number, batch by 256, the handler doubles it, the result goes back to its owner; 10,000 outstanding. Rounds
// are interleaved; medians with their spread, in ns a value, and ratios within each round.
//
//     npm run bench [rounds [name ...]]
import DataLoader from 'dataloader';
import PQueue from 'p-queue';
import { Batcher } from 'microbatch';

const VALUES = 10_240;
const BATCH = 256;
const TURNS = 20;
const rounds = Number(process.argv[2] ?? 15);
const chosen = process.argv.slice(3);
const double = (values) => values.map((value) => value * 2);

/** By hand, a Promise a value: what is submitted in one turn is handled in batches at its end. */
class ByHand {
  #values = [];
  #resolve = [];
  submit(value) {
    if (this.#values.length === 0) setImmediate(() => this.#run());
    this.#values.push(value);
    return new Promise((resolve) => this.#resolve.push(resolve));
  }
  #run() {
    const values = this.#values;
    const resolve = this.#resolve;
    this.#values = [];
    this.#resolve = [];
    for (let from = 0; from < values.length; from += BATCH) {
      const results = double(values.slice(from, from + BATCH));
      for (let row = 0; row < results.length; row++) resolve[from + row](results[row]);
    }
  }
}

/** By hand, a callback for each value. */
class ByHandCallbacks {
  #values = [];
  #calls = [];
  push(value, call) {
    if (this.#values.length === 0) setImmediate(() => this.#run());
    this.#values.push(value);
    this.#calls.push(call);
  }
  #run() {
    const values = this.#values;
    const calls = this.#calls;
    this.#values = [];
    this.#calls = [];
    for (let from = 0; from < values.length; from += BATCH) {
      const results = double(values.slice(from, from + BATCH));
      for (let row = 0; row < results.length; row++) calls[from + row](results[row]);
    }
  }
}

const all = Float64Array.from({ length: VALUES }, (_, at) => at);
const WANTED = VALUES * (VALUES - 1);
const sum = (values) => values.reduce((total, value) => total + value, 0);

const byHand = new ByHand();
const callbacks = new ByHandCallbacks();
const loader = new DataLoader(async (keys) => keys.map((key) => key * 2), { cache: false, maxBatchSize: BATCH });
const ours = new Batcher(double, { maxBatchSize: BATCH });
let bulkDone;
let bulkSum = 0;
let bulkCount = 0;
/** A column is the handler's own: it answers in place. */
function doubleColumn(values) {
  for (let row = 0; row < values.length; row++) values[row] *= 2;
  return values;
}
const bulk = new Batcher(doubleColumn, {
  maxBatchSize: BATCH, typedArrays: true, onResult({ values }) {
    let total = 0;
    for (let row = 0; row < values.length; row++) total += values[row];
    bulkSum += total;
    bulkCount += values.length;
    if (bulkCount === VALUES) bulkDone(bulkSum);
  },
});
const queue = new PQueue({ concurrency: BATCH });

const promises = async (submit) => sum(await Promise.all(Array.from(all, submit)));
const sides = {
  'by hand, Promise': () => promises((value) => byHand.submit(value)),
  'dataloader': () => promises((value) => loader.load(value)),
  'microbatch, Promise': () => promises((value) => ours.submit(value)),
  'p-queue': () => promises((value) => queue.add(() => value * 2)),
  'by hand, callback': () => new Promise((resolve) => {
    let total = 0;
    let count = 0;
    for (const value of all) callbacks.push(value, (result) => ((total += result), ++count === VALUES && resolve(total)));
  }),
  'microbatch, bulk': () => new Promise((resolve) => {
    bulkDone = resolve;
    bulkSum = bulkCount = 0;
    bulk.pushMany(all);
  }),
};

// p-queue takes too long for as many turns as the others
const turnsOf = (name) => (name === 'p-queue' ? 1 : TURNS);
const names = Object.keys(sides).filter((name) => chosen.length === 0 || chosen.includes(name));
const samples = Object.fromEntries(names.map((name) => [name, []]));
for (let round = -3; round < rounds; round++) {
  for (const name of names) {
    const turns = turnsOf(name);
    const begun = process.hrtime.bigint();
    for (let turn = 0; turn < turns; turn++) {
      const total = await sides[name]();
      if (total !== WANTED) throw new Error(`${name}: ${total} instead of ${WANTED}`);
    }
    // the first rounds are for the compiler
    if (round >= 0) samples[name].push(Number(process.hrtime.bigint() - begun) / (turns * VALUES));
  }
}

function spread(taken, digits) {
  const sorted = [...taken].sort((a, b) => a - b);
  const at = (part) => sorted[Math.floor(part * (sorted.length - 1))].toFixed(digits);
  return `${at(0.5).padStart(7)} (${at(0.25)} to ${at(0.75)})`;
}
for (const name of names) console.log(`${name.padEnd(22)} ${spread(samples[name], 1)} ns a value`);
for (const [ours, peer] of [
  ['microbatch, Promise', 'by hand, Promise'], ['microbatch, Promise', 'dataloader'], ['microbatch, Promise', 'p-queue'],
  ['microbatch, bulk', 'by hand, callback'], ['microbatch, bulk', 'by hand, Promise'],
]) {
  if (samples[ours] && samples[peer]) {
    console.log(`${ours}: ${spread(samples[peer].map((taken, round) => taken / samples[ours][round]), 2)} times as fast as ${peer}`);
  }
}
