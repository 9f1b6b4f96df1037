'use strict';
// What callers hand over, looked at before anything is done with it: what is wrong is named, with its value and what would be
// accepted. What numbers the library takes is its own to say; here they only have to be numbers that reach it unchanged.

const { STATUS } = require('./native.cjs');
const { MicrobatchError, wrong } = require('./error.cjs');

/** What only the package itself makes: for a core, which has this. */
const INSIDE = Symbol('inside');

function readCore(core, type) {
  if (core?.[INSIDE] !== true) {
    throw wrong(`the maker of ${type}`, core, 'a batcher');
  }
  return core;
}

const fitsWord = (value) => typeof value === 'bigint' && BigInt.asUintN(64, value) === value;
const isWhole = (value) => Number.isSafeInteger(value) && value >= 0;

/** A whole number, or 0 where none is given. */
function readCount(what, value) {
  if (value === undefined) {
    return 0;
  }
  if (!isWhole(value)) {
    throw wrong(what, value, 'a whole number from 0 to 2^53 - 1');
  }
  return value;
}

/** 64 bits that mean something to the caller only. */
function readWord(what, word) {
  if (!isWhole(word) && !fitsWord(word)) {
    throw wrong(what, word, 'a whole number from 0 to 2^53 - 1, or a bigint below 2^64,');
  }
  return word;
}

const readTag = (tag) => readWord('the tag', tag);

/** An address of memory or of a function. */
function readAddress(what, address, status) {
  if (!fitsWord(address) || address === 0n) {
    throw wrong(what, address, 'an address, as a bigint,', status);
  }
  return address;
}

/** A row of what has `count` of them. */
function readRow(row, count) {
  if (!isWhole(row) || row >= count) {
    throw wrong('the row', row, count === 0 ? 'none' : `a whole number from 0 to ${count - 1}`);
  }
  return row;
}

function readText(what, text) {
  if (typeof text !== 'string') {
    throw wrong(what, text, 'a string');
  }
  return text;
}

/** The code of a failure: which of them are a handler's is the library's to say. */
function readCode(code) {
  if (!Number.isInteger(code) || (code | 0) !== code || code === 0) {
    throw wrong('the code', code, 'a positive number of yours below 2^31, or a status of the library');
  }
  return code;
}

function readFlag(what, value = false, status = undefined) {
  if (typeof value !== 'boolean') {
    throw wrong(what, value, 'true or false', status);
  }
  return value;
}

function readFunction(what, value, status) {
  if (typeof value !== 'function') {
    throw wrong(what, value, 'a function', status);
  }
  return value;
}

/** Whether an array, or something like one or that can be gone through; a text is one value. */
function isList(values) {
  return (
    typeof values === 'object' && values !== null && !(values instanceof DataView) &&
    (typeof values[Symbol.iterator] === 'function' || isWhole(values.length))
  );
}

function readList(what, values) {
  if (!isList(values)) {
    throw wrong(what, values, 'an array, a typed array or another iterable that is no string');
  }
  return values;
}

const NONE = Object.freeze({});

/** Options of a call: an object with some of these names, or nothing. */
function readOptions(options, ...names) {
  if (options === undefined) {
    return NONE;
  }
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw wrong('options', options, `an object with ${names.join(', ')}`);
  }
  for (const name in options) {
    if (!names.includes(name)) {
      throw new MicrobatchError(STATUS.INVALID_ARGUMENT, `there is no option ${name} here; there is ${names.join(', ')}`);
    }
  }
  return options;
}

/** The signal of options that have no other. */
function readSignal(options, ...names) {
  const { signal } = readOptions(options, 'signal', ...names);
  if (signal !== undefined && (typeof signal?.throwIfAborted !== 'function' || typeof signal.addEventListener !== 'function')) {
    throw wrong('signal', signal, 'an AbortSignal');
  }
  return signal;
}

module.exports = {
  INSIDE, fitsWord, isWhole, readAddress, readCode, readCore, readCount, readFlag, readFunction, readList, readOptions, readRow, readSignal, readTag,
  readText, readWord,
};
