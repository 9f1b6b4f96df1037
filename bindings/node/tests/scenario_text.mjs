// Values and texts as the scenarios of tests/conformance write them.
import { ForeignObject } from 'microbatch';

/** Owners 0 and 2 of a scenario, and 1 where the batcher has none. */
const NOBODY_ELSE = 0x7fffffff;

/** A string that is no UTF-8. */
export class NoText {}

function unescape(text) {
  const bytes = [];
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '%') {
      bytes.push(parseInt(text.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(text.charCodeAt(at));
    }
  }
  return Uint8Array.from(bytes);
}

function escape(bytes) {
  let text = '';
  for (const byte of bytes) {
    const one = String.fromCharCode(byte);
    text += /[A-Za-z0-9_.]/.test(one) ? one : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}

export const textOf = (word) => (word === '-' ? '' : new TextDecoder().decode(unescape(word)));
export const dashed = (text) => (text === '' ? '-' : escape(new TextEncoder().encode(text)));

export function show(value) {
  switch (typeof value) {
    case 'number': {
      const bits = new DataView(new ArrayBuffer(8));
      bits.setFloat64(0, value);
      return `float64:${bits.getBigUint64(0).toString(16).padStart(16, '0')}`;
    }
    case 'bigint':
      return `int64:${value}`;
    case 'string':
      return `string:${escape(new TextEncoder().encode(value))}`;
    case 'boolean':
      return `bool:${value ? 1 : 0}`;
    default:
      if (value === null) {
        return 'null';
      }
      return value instanceof Uint8Array ? `bytes:${escape(value)}` : `object:${value.word}`;
  }
}

/** The value that a word of a scenario is; `owner` is the batcher's. */
export function parse(owner, word) {
  const at = word.indexOf(':');
  const [kind, text] = at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
  switch (kind) {
    case 'null':
      return null;
    case 'bool':
      return text === '1';
    case 'int64':
      return BigInt(text);
    case 'float64': {
      const bits = new DataView(new ArrayBuffer(8));
      bits.setBigUint64(0, BigInt(`0x${text}`));
      return bits.getFloat64(0);
    }
    case 'string':
      try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(unescape(text));
      } catch {
        return new NoText();
      }
    case 'bytes':
      return unescape(text);
    case 'object': {
      const [of, word, size] = text.split('/').map(Number);
      return of !== 0 && of === owner ? { word, size } : new ForeignObject(of === 0 ? 0 : NOBODY_ELSE, word, size);
    }
    default:
      throw new Error(`no kind ${kind}`);
  }
}
