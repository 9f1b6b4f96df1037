'use strict';

/** Pushed values that signals cancel while they wait: one listener a signal, for however many values. */
class Aborts {
  #cancel;
  /** signal -> {signal, values, listener} */
  #watched = new Map();
  /** tag -> values with it, {tag, watched}, in the order of their pushes */
  #values = new Map();

  /** `cancel` gets the tag of each value whose signal is aborted. */
  constructor(cancel) {
    this.#cancel = cancel;
  }

  watch(signal, tag) {
    let watched = this.#watched.get(signal);
    if (!watched) {
      watched = { signal, values: new Set(), listener: () => watched.values.forEach(({ tag: each }) => this.#cancel(each)) };
      this.#watched.set(signal, watched);
      signal.addEventListener('abort', watched.listener, { once: true });
    }
    const value = { tag, watched };
    watched.values.add(value);
    const alike = this.#values.get(tag);
    if (alike) {
      alike.add(value);
    } else {
      this.#values.set(tag, new Set([value]));
    }
  }

  /** These have their results: nothing is left to cancel, and their tags may be used for others. */
  settle(results) {
    if (this.#values.size === 0) {
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
