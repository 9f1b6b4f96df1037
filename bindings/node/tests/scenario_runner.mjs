// Plays one scenario of tests/conformance through the public API and writes its trace.
import assert from 'node:assert/strict';
import { Batcher, Failure, MapError, map, status as STATUS } from 'microbatch';
import { NoText, dashed, parse, show, textOf } from './scenario_text.mjs';

const KINDS = ['null', 'bool', 'int64', 'float64', 'string', 'bytes', 'object'];
const NAMES = new Map(Object.entries(STATUS).map(([name, code]) => [code, name]));
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

function statusOf(call) {
  try {
    call();
    return 'OK';
  } catch (error) {
    if (typeof error?.code !== 'number' || !NAMES.has(error.code)) {
      throw error;
    }
    return NAMES.get(error.code);
  }
}

export class Runner {
  trace = '';
  scripts = new Map();
  options = { mode: 'manual', clock: 'given' };
  held = [];
  marks = [];
  depth = 0;
  owner = 0;
  batcher;

  play(scenario) {
    for (const line of scenario.split('\n')) {
      const words = line.split(' ');
      switch (words[0]) {
        case '':
        case '#':
        case 'needs':
          break;
        case 'owner':
          this.owner = Number(words[1]);
          break;
        case 'option':
          this.options[camel(words[1])] = words[2];
          break;
        case 'handler':
          this.script(words[1], words.slice(2).join(' '));
          break;
        case 'pull':
          (this.options.pullHandlers ??= []).push(words[1]);
          break;
        case 'on_result':
        case 'on_release':
          this.script(words[0], words.slice(1).join(' '));
          break;
        case 'new': {
          const status = statusOf(() => this.make());
          this.line(`new -> ${status}`);
          if (status !== 'OK') {
            return this.trace;
          }
          break;
        }
        default:
          this.step(line);
      }
    }
    if (this.batcher) {
      this.step('free');
    }
    this.held.forEach((batch, at) => batch && this.step(`h${at + 1} free`));
    return this.trace;
  }

  script(name, line) {
    const script = this.scripts.get(name) ?? { lines: [], calls: 0 };
    script.lines.push(line);
    this.scripts.set(name, script);
  }

  nextActions(name) {
    const script = this.scripts.get(name);
    if (!script) {
      return [];
    }
    const line = script.lines[Math.min(script.calls++, script.lines.length - 1)];
    return line === '' ? [] : line.split(' ; ');
  }

  line(text) {
    this.trace += `${'  '.repeat(this.depth)}${text}\n`;
  }

  indented(by, work) {
    this.depth += by;
    try {
      work();
    } finally {
      this.depth -= by;
    }
  }

  make() {
    const handlers = {};
    for (const name of [...KINDS, 'default']) {
      if (this.scripts.has(name)) {
        handlers[name] = (values, batch) => this.handle(name, batch);
      }
    }
    this.batcher = new Batcher(undefined, {
      ...this.options,
      handlers,
      onResult: this.scripts.has('on_result')
        ? (results) => this.indented(1, () => (this.showResults(results), this.callback('on_result')))
        : null,
      onRelease: (object) =>
        this.indented(1, () => (this.line(`release object ${object.word}`), this.callback('on_release'))),
    });
  }

  callback(name) {
    this.indented(1, () => this.nextActions(name).forEach((action) => this.step(action.slice('do '.length))));
  }

  handle(name, batch) {
    let code = 0;
    this.indented(1, () => {
      this.showBatch(batch, name);
      this.indented(1, () => {
        for (const action of this.nextActions(name)) {
          const words = action.split(' ');
          if (words[0] === 'do') {
            this.step(action.slice('do '.length));
          } else if (words[0] === 'return') {
            code = Number(words[1]);
          } else if (words[0] === 'keep') {
            batch.keep();
            this.held.push(batch);
            this.line(`keep -> OK h${this.held.length}`);
          } else {
            const status = this.act(batch, words);
            if (status !== 'OK') {
              this.line(`${action} -> ${status}`);
            }
          }
        }
      });
    });
    if (code !== 0 && !batch.held) {
      throw new Failure(code);
    }
  }

  showBatch(batch, name) {
    const [trigger, age] = name === 'map' ? ['-', 0] : [batch.trigger.toUpperCase(), batch.age];
    const { tags } = batch;
    const rows = batch.values.map((value, row) => ` ${show(value)}@${tags[row]}`).join('');
    this.line(`batch ${batch.number} ${name} ${trigger} ${batch.kind} age ${age}:${rows}`);
  }

  showResults(results) {
    this.line(`results batch ${results.batch} count ${results.count} ${results.kind}`);
    this.showRows(results);
  }

  showRows(results) {
    this.indented(1, () => {
      for (let row = 0; row < results.count; row++) {
        const failure = results.failure(row);
        let payload;
        if (!failure) {
          payload = show(results.value(row));
        } else if (failure.code > 0) {
          payload = `${failure.code} ${dashed(failure.typeName)} ${dashed(failure.handlerMessage)}`;
        } else {
          payload = failure.name;
        }
        this.line(
          `${results.tags[row]} ${results.outcome(row).toUpperCase()} ${results.handled(row).toUpperCase()} ${payload}`,
        );
      }
    });
  }

  // ---- steps ----

  step(step) {
    const answer = this.answer(step.split(' '));
    if (answer !== undefined) {
      this.line(`${step} -> ${answer}`);
    }
  }

  answer(words) {
    const { batcher } = this;
    const held = /^h(\d+)$/.exec(words[0]);
    if (held) {
      return this.onHeld(Number(held[1]) - 1, words.slice(1));
    }
    if (words[0] === 'map') {
      return this.map(words);
    }
    if (!batcher) {
      return 'INVALID_HANDLE';
    }
    let said;
    const saying = (call) => {
      const status = statusOf(() => (said = call()));
      return status === 'OK' ? said : status;
    };
    switch (words[0]) {
      case 'push':
        return this.push(words);
      case 'push_many':
        return this.pushMany(words);
      case 'check': {
        const value = parse(this.owner, words[1]);
        return value instanceof NoText ? 'INVALID_UTF8' : statusOf(() => batcher.check(value, { size: value?.size }));
      }
      case 'room':
        return this.room();
      case 'cancel':
        return saying(() => `OK ${batcher.cancel(BigInt(words[1]))}`);
      case 'seal':
        return statusOf(() => batcher.seal());
      case 'run':
        return statusOf(() => batcher.run());
      case 'advance':
        return statusOf(() => batcher.advance(BigInt(words[1])));
      case 'now':
        return String(batcher.now());
      case 'next_due':
        return String(batcher.nextDue() ?? 'FOREVER');
      case 'flush':
        return saying(() => (batcher.tryFlush() ? 'OK' : 'IN_PROGRESS'));
      case 'flush_begin':
        return saying(() => `OK m${this.marks.push(batcher.flushBegin())}`);
      case 'flush_end':
        return saying(() => (batcher.flushEnd(this.marks[Number(words[1].slice(1)) - 1]) ? 'OK' : 'IN_PROGRESS'));
      case 'close':
        return saying(() => {
          const { done, left } = batcher.tryClose(words[1] === 'forever' ? Infinity : `${words[1]}ns`);
          return left > 0 ? `TIMEOUT left ${left}` : done ? 'OK' : 'IN_PROGRESS';
        });
      case 'free':
        return statusOf(() => {
          batcher.free();
          this.batcher = undefined;
        });
      case 'next_batch':
        return saying(() => {
          const batch = batcher.nextBatch();
          if (!batch) {
            return 'TIMEOUT';
          }
          this.indented(1, () => this.showBatch(batch, 'pulled'));
          return `OK h${this.held.push(batch)}`;
        });
      case 'next_results':
        return saying(() => {
          const shown = batcher.nextResults((results) => (this.indented(1, () => this.showResults(results)), true));
          return shown ? 'OK' : 'TIMEOUT';
        });
      case 'stats':
        this.showStats(batcher.stats());
        return undefined;
      default:
        throw new Error(`no step ${words[0]}`);
    }
  }

  room() {
    try {
      return this.batcher.lackOfRoom() ?? 'OK';
    } catch (error) {
      return error.name;
    }
  }

  deadline(words) {
    const word = words.find((one) => one.startsWith('deadline='));
    return word ? BigInt(word.slice('deadline='.length)) : undefined;
  }

  push(words) {
    const value = parse(this.owner, words[1]);
    if (value instanceof NoText) {
      return 'INVALID_UTF8';
    }
    const options = { deadline: this.deadline(words), size: value?.size };
    return statusOf(() => this.batcher.push(value, BigInt(words[2]), options));
  }

  pushMany(words) {
    const tokens = words.slice(3).filter((word) => !word.includes('='));
    const values = tokens.map((token) => parse(this.owner, token));
    const cut = values.findIndex((value) => value instanceof NoText);
    const valid = cut < 0 ? values : values.slice(0, cut);
    const tags = words[2].includes(',') ? words[2].split(',').map(BigInt) : BigInt(words[2]);
    let accepted = 0;
    const status = statusOf(() => {
      try {
        accepted = this.batcher.pushMany(valid, tags, { deadline: this.deadline(words) });
      } catch (refused) {
        ({ accepted } = refused);
        throw refused;
      }
    });
    return `${status === 'OK' && cut >= 0 ? 'INVALID_UTF8' : status} accepted ${accepted}`;
  }

  map(words) {
    const values = words.slice(4).map((token) => parse(this.owner, token));
    const number = Number(words[3]);
    const split = words[2] === 'size' ? { maxBatchSize: number } : { batches: number };
    return statusOf(() => {
      const results = map.results(values, (_, batch) => this.handle('map', batch), split);
      assert.ok(results.allOk || new MapError(results, results.firstFailed).results === results);
      this.indented(1, () => {
        this.line(`results map count ${results.count}`);
        this.showRows(results);
      });
    });
  }

  // ---- batches ----

  onHeld(at, action) {
    const batch = this.held[at];
    // a completed batch is gone: what C answers TOO_LATE to is a mistake of the program here
    if (!batch) {
      return 'TOO_LATE';
    }
    const ends = { complete: () => batch.complete(), complete_ok: () => batch.completeOk(), free: () => batch.free() };
    if (action[0] === 'complete_next') {
      this.held[at] = undefined;
      return statusOf(() => batch.completeNext((results) => this.indented(1, () => this.showResults(results))));
    }
    if (action[0] === 'keep') {
      return statusOf(() => batch.keep());
    }
    if (action[0] in ends) {
      this.held[at] = undefined;
      return statusOf(ends[action[0]]);
    }
    return this.act(batch, action);
  }

  act(batch, action) {
    switch (action[0]) {
      case 'echo':
      case 'double': {
        let last = 'OK';
        batch.values.forEach((value, row) => {
          const result = action[0] === 'double' && typeof value === 'bigint' ? BigInt.asIntN(64, value * 2n) : value;
          const status = statusOf(() => batch.set(row, result));
          last = status === 'OK' ? last : status;
        });
        return last;
      }
      case 'set': {
        const value = parse(this.owner, action[2]);
        return value instanceof NoText ? 'INVALID_UTF8' : statusOf(() => batch.set(Number(action[1]), value, { size: value?.size }));
      }
      case 'set_int64s': {
        const values = Array.from({ length: Number(action[1]) }, (_, at) => BigInt(action[2]) + BigInt(at));
        return statusOf(() => batch.setAll(BigInt64Array.from(values)));
      }
      case 'fail':
        return statusOf(() => batch.fail(Number(action[1]), Number(action[2]), textOf(action[4]), textOf(action[3])));
      case 'fail_all':
        return statusOf(() => batch.failAll(Number(action[1]), textOf(action[3]), textOf(action[2])));
      default:
        throw new Error(`no action ${action[0]}`);
    }
  }

  showStats(s) {
    const triggers = Object.entries(s.triggers)
      .filter(([, count]) => count > 0)
      .map(([name, count]) => ` ${name.toUpperCase()}=${count}`);
    const counted = ([name]) => STATUS[name] <= STATUS.WRONG_OWNER && STATUS[name] >= STATUS.CLOSED;
    const refusals = Object.entries(s.refusals).filter(counted).map(([name, count]) => ` ${name}=${count}`);
    const [size, queued] = [s.batchSize, s.queueTime].map(({ count, sum, max }) => `${count}/${sum}/${max}`);
    this.line(
      `stats -> accepted ${s.accepted} ok ${s.ok} failed ${s.failed} expired ${s.expired} cancelled ${s.cancelled} ` +
        `discarded ${s.discarded} outstanding ${s.outstanding} undelivered ${s.undelivered} waiting ${s.waiting} ` +
        `waiting_bytes ${s.waitingBytes} in_flight ${s.inFlight} oldest ${s.oldestInFlightAge} batches ${s.batches} ` +
        `late ${s.late} batch_size ${size} queue_time ${queued} triggers${triggers.join('')} refusals${refusals.join('')}`,
    );
  }
}
