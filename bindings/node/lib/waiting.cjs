'use strict';

/** A promise that a signal gives up: `begin` gets both ends, and what it began goes on without a listener. */
function waiting(signal, begin) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    if (!signal) {
      begin(resolve, reject);
      return;
    }
    const abort = () => reject(signal.reason);
    const done = (settle) => (result) => {
      signal.removeEventListener('abort', abort);
      settle(result);
    };
    signal.addEventListener('abort', abort, { once: true });
    begin(done(resolve), done(reject));
  });
}

module.exports = { waiting };
