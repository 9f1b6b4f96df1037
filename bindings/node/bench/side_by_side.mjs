// The whole job side by side with what people write by hand and with dataloader: push a number, batch by 256, the handler doubles
// it, the result goes back to its owner; 10,000 outstanding. Rounds are interleaved; medians with their spread, in ns a value.
//
//     npm run bench [rounds]
import DataLoader from 'dataloader';
import { Batcher } from 'microbatch';

const VALUES = 10_240;
const BATCH = 256;
const TURNS = 20;
const rounds = Number(process.argv[2] ?? 15);
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
const loader = new DataLoader(async (keys) => double(keys), { cache: false, maxBatchSize: BATCH });
const ours = new Batcher(double, { maxBatchSize: BATCH });
let bulkDone;
let bulkSum = 0;
let bulkCount = 0;
const bulk = new Batcher((values) => values.map((value) => value * 2), {
  maxBatchSize: BATCH, typedArrays: true, onResult(results) {
    for (const value of results.values) bulkSum += value;
    bulkCount += results.count;
    if (bulkCount === VALUES) bulkDone(bulkSum);
  },
});

const promises = async (submit) => sum(await Promise.all(Array.from(all, submit)));
const sides = {
  'by hand, Promise': () => promises((value) => byHand.submit(value)),
  'dataloader': () => promises((value) => loader.load(value)),
  'microbatch, Promise': () => promises((value) => ours.submit(value)),
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

const samples = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
for (let round = -2; round < rounds; round++) {
  for (const [name, side] of Object.entries(sides)) {
    const begun = process.hrtime.bigint();
    for (let turn = 0; turn < TURNS; turn++) {
      const total = await side();
      if (total !== WANTED) throw new Error(`${name}: ${total} instead of ${WANTED}`);
    }
    // the first rounds are for the compiler
    if (round >= 0) samples[name].push(Number(process.hrtime.bigint() - begun) / (TURNS * VALUES));
  }
}
for (const [name, taken] of Object.entries(samples)) {
  taken.sort((a, b) => a - b);
  const at = (part) => taken[Math.floor(part * (taken.length - 1))].toFixed(1);
  console.log(`${name.padEnd(22)} ${at(0.5).padStart(7)} ns a value (${at(0.1)} to ${at(0.9)})`);
}
