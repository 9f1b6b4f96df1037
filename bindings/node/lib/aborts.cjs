'use strict';

/**
 * Values that signals cancel while they wait: one listener a signal, for however many values. More would cost each as much as
 * there are, and Node warns of them.
 */
class Aborts {
  #cancel;
  /** signal -> {signal, values, listener} */
  #watched = new Map();
  /** tag -> values with it, {tag, watched, gaveUp}, in the order of their pushes */
  #values = new Map();

  /** `cancel` gets the tag of each value whose signal is aborted. */
  constructor(cancel) {
    this.#cancel = cancel;
  }

  get isEmpty() {
    return this.#values.size === 0;
  }

  /** Until the value has its result. `gaveUp` gets the reason of an abort. */
  watch(signal, tag, gaveUp) {
    let watched = this.#watched.get(signal);
    if (!watched) {
      watched = { signal, values: new Set(), listener: () => this.#aborted(watched) };
      this.#watched.set(signal, watched);
      signal.addEventListener('abort', watched.listener, { once: true });
    }
    const value = { tag, watched, gaveUp };
    watched.values.add(value);
    const alike = this.#values.get(tag);
    if (alike) {
      alike.add(value);
    } else {
      this.#values.set(tag, new Set([value]));
    }
  }

  #aborted({ signal, values }) {
    for (const { tag, gaveUp } of values) {
      gaveUp?.(signal.reason);
      this.#cancel(tag);
    }
  }

  /** These have their results: nothing is left to cancel, and their tags may be used for others. */
  settle(results) {
    if (this.isEmpty) {
      return;
    }
    for (const tag of results.tags) {
      const alike = this.#values.get(tag);
      if (!alike) {
        continue;
      }
      const [value] = alike;
      alike.delete(value);
      if (alike.size === 0) {
        this.#values.delete(tag);
      }
      value.watched.values.delete(value);
      if (value.watched.values.size === 0) {
        this.#stop(value.watched);
      }
    }
  }

  #stop({ signal, listener }) {
    this.#watched.delete(signal);
    signal.removeEventListener('abort', listener);
  }

  /** No result comes any more. */
  end() {
    this.#watched.forEach((watched) => this.#stop(watched));
  }
}

module.exports = { Aborts };
