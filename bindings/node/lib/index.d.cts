/** Values that cross by value; any other object travels by reference. `number` is float64, `bigint` int64. */
export type Scalar = null | boolean | number | bigint | string | Uint8Array;

/** Milliseconds from 0 on, `Infinity`, or a text with a unit: "2ms", "1.5s". */
export type Duration = number | string;
export type Kind = 'null' | 'bool' | 'int64' | 'float64' | 'string' | 'bytes' | 'object';
export type Trigger = 'size' | 'bytes' | 'delay' | 'idle' | 'full' | 'flush' | 'close';
export type Outcome = 'ok' | 'failed' | 'expired' | 'cancelled' | 'discarded';
export type Handled = 'no' | 'maybe' | 'yes';
/** A number up to 2^53 - 1, or a bigint below 2^64. */
export type Tag = number | bigint;
/** What is lacking for a value to be taken. */
export type Lack = 'QUEUE_FULL' | 'QUEUE_FULL_BYTES' | 'RESULTS_FULL';
export type Column<T> = readonly T[] | Float64Array | BigInt64Array;

/** Why a call was refused, or why a value has no result. */
export class MicrobatchError extends Error {
  /** Of a status, by name or number, or of a positive number of your own. */
  constructor(code: number | string, message?: string, details?: object);
  /** A status of the library's, negative, or a positive number of a handler's. */
  readonly code: number;
  /** The name of the status, for example "QUEUE_FULL"; "USER_CODE" for a handler's number. */
  readonly name: string;
  /** Whether the same call, repeated unchanged later, may succeed. */
  readonly retriable: boolean;
  /** Whether a handler saw the value: if not, trying again duplicates nothing. */
  readonly handled?: Handled;
  readonly outcome?: Outcome;
  readonly typeName?: string;
  /** Of a bulk push: how many values were taken. */
  readonly accepted?: number;
}

/** Throw or return one in a handler to choose code and type name of a failure. */
export class Failure extends Error {
  constructor(code: number, message?: string, typeName?: string);
  readonly code: number;
  readonly typeName: string;
}

/** An object whose owner is somebody else: any batcher but that owner's refuses it. */
export class ForeignObject {
  constructor(owner: number, word: number | bigint, size?: number);
}

/** A batch, or a handler's part of one. */
export class Batch<T = unknown, R = unknown> {
  private constructor();
  readonly count: number;
  readonly kind: Kind | 'mixed';
  readonly trigger: Trigger;
  /** Nanoseconds from the acceptance of its first value to its dispatch. */
  readonly age: bigint;
  readonly number: number;
  readonly held: boolean;
  readonly tags: BigUint64Array;
  readonly kinds: Kind[];
  readonly deadlines: BigInt64Array | undefined;
  readonly positions: Uint32Array | undefined;
  readonly columns: Column<T>;
  readonly values: T[];
  value(row: number): T;
  set(row: number, value: R | Error, options?: { size?: number }): void;
  setAll(results: Answers<R>): void;
  fail(row: number, code: number, message?: string, typeName?: string): void;
  failAll(code: number, message?: string, typeName?: string): void;
  /** Holds the batch past its handler; of a pulled part it says that its handler has returned, and the next part may come. */
  keep(): this;
  /** Fixes the outcomes now. The next batch waits for an async handler that still runs. */
  complete(): void;
  /** Completes, and answers what `use` makes of the next set of results, with results = "pull"; undefined if none is ready. */
  completeNext<U = Results<R>>(use?: (results: Results<R>) => U): U | undefined;
  completeOk(): void;
  free(): void;
}

/** A set of results: the rows of one batch, or of values that were never dispatched. */
export class Results<R = unknown> implements Iterable<{ tag: bigint; outcome: Outcome; handled: Handled; value?: R; error?: Error }> {
  private constructor();
  readonly count: number;
  readonly kind: Kind | 'mixed';
  /** The number of the batch; 0 if it was never dispatched. */
  readonly batch: number;
  readonly allOk: boolean;
  readonly firstFailed: number | undefined;
  readonly tags: BigUint64Array;
  readonly values: Column<R>;
  outcome(row: number): Outcome;
  handled(row: number): Handled;
  value(row: number): R | undefined;
  error(row: number): Error | undefined;
  failure(row: number): MicrobatchError | undefined;
  toArray(): (R | Error)[];
  [Symbol.iterator](): Iterator<{ tag: bigint; outcome: Outcome; handled: Handled; value?: R; error?: Error }>;
}

type Numbers = Float64Array | Float32Array | Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array | BigInt64Array;
/** A result for each value; an Error fails its value, undefined is no result. */
export type Answers<R> = readonly (R | Error | undefined)[] | Numbers;
type Answer<R> = Answers<R> | void;
export type Handler<T, R> = (values: T[], batch: Batch<T, R>) => Answer<R> | PromiseLike<Answer<R>>;
/** A handler of C by its address, with the address it is handed and that of the mb_release_fn which gives it back. */
export interface NativeHandler {
  address: bigint;
  data?: bigint;
  release?: bigint;
}
export type HandlersByKind = { [K in Kind | 'default']?: Handler<any, any> | NativeHandler };

export interface Options<R = unknown> {
  mode?: 'threaded' | 'manual';
  threads?: number;
  maxInFlight?: number;
  onFull?: 'block' | 'reject' | 'discard_oldest';
  delivery?: 'as_completed' | 'ordered';
  clock?: 'monotonic' | 'given';
  results?: 'auto' | 'pull';
  owner?: number;
  maxBatchSize?: number | string;
  maxBatchBytes?: number | string;
  queueCapacity?: number | string;
  queueBytes?: number | string;
  resultCapacity?: number | string;
  maxDelay?: Duration;
  pushTimeout?: Duration;
  handlerTimeout?: Duration;
  closeTimeout?: Duration;
  drainAtExit?: Duration;
  delaySpin?: Duration;
  handlers?: HandlersByKind;
  /** Without handlers: the kinds that you have handlers for. Other kinds are refused, and nextBatch hands out parts. */
  pullHandlers?: readonly (Kind | 'default')[];
  /** Takes the results of pushes; null: results are only counted. */
  onResult?: ((results: Results<R>) => void) | null;
  /** Told of each object whose reference ended. */
  onRelease?: (object: any) => void;
  /** Takes the library's lines, on the loop's thread: 0 debug, 1 information, 2 warning, 3 error. */
  log?: (level: number, message: string) => void;
  /** Handlers get a Float64Array or BigInt64Array where all values are numbers of one kind. */
  typedArrays?: boolean;
}

export interface Histogram {
  count: number;
  sum: number;
  max: number;
  buckets: number[];
}

export interface Stats {
  accepted: number;
  ok: number;
  failed: number;
  expired: number;
  cancelled: number;
  discarded: number;
  outstanding: number;
  undelivered: number;
  batches: number;
  late: number;
  stuck: number;
  waiting: number;
  waitingBytes: number;
  inFlight: number;
  delivering: number;
  bytesInUse: number;
  /** Nanoseconds. */
  oldestInFlightAge: number;
  batchSize: Histogram;
  queueTime: Histogram;
  handlerTime: Histogram;
  deliveryTime: Histogram;
  triggers: Record<Trigger, number>;
  refusals: Record<string, number>;
}

export class Batcher<T = any, R = any> {
  constructor(handler?: Handler<T, R> | NativeHandler | HandlersByKind | null, options?: Options<R>);
  /** Aborting the signal rejects the promise, and cancels the value while it waits. */
  submit(value: T, options?: { signal?: AbortSignal; deadline?: Duration | bigint; size?: number }): Promise<R>;
  /** Never waits. An aborted signal refuses the value with its reason; later, until the result comes, aborting cancels what waits with this tag. */
  push(value: T, tag?: Tag, options?: { signal?: AbortSignal; deadline?: Duration | bigint; size?: number }): void;
  /** How many were taken, which `accepted` of the error says if one is refused. Never waits; a signal is as for push. */
  pushMany(values: Iterable<T> | ArrayLike<T>, tags?: Tag | ArrayLike<Tag>, options?: { signal?: AbortSignal; deadline?: Duration | bigint }): number;
  /** A promise for each value, in their order. */
  submitMany(values: Iterable<T> | ArrayLike<T>, options?: { signal?: AbortSignal; deadline?: Duration | bigint; size?: number }): Promise<R>[];
  check(value: T, options?: { size?: number }): void;
  producer(): Producer<T>;
  cancel(tag: Tag): number;
  lackOfRoom(): Lack | undefined;
  room(options?: { signal?: AbortSignal }): Promise<void>;
  seal(): void;
  flush(options?: { signal?: AbortSignal }): Promise<void>;
  tryFlush(): boolean;
  flushBegin(): number;
  flushEnd(mark: number): boolean;
  close(timeout?: Duration): Promise<number>;
  tryClose(timeout: Duration): { done: boolean; left: number };
  free(): void;
  abandon(): void;
  run(): void;
  advance(now: bigint): void;
  now(): bigint;
  nextDue(): bigint | undefined;
  nextBatch(): Batch<T, R> | undefined;
  nextResults<U = Results<R>>(use?: (results: Results<R>) => U): U | undefined;
  batches(options?: { signal?: AbortSignal }): AsyncGenerator<Batch<T, R>, void, void>;
  results(options?: { signal?: AbortSignal }): AsyncGenerator<Results<R>, void, void>;
  stats(): Stats;
  statsText(): string;
  readonly heldObjects: number;
  share(): bigint;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A batcher of another environment or another copy of the library: its pushes, not its results. */
export class SharedBatcher {
  constructor(address: bigint);
  push(value: Scalar | ForeignObject, tag?: Tag, options?: { deadline?: Duration | bigint }): void;
  /** How many were taken, which `accepted` of the error says if one is refused. Never waits. */
  pushMany(values: Iterable<Scalar> | ArrayLike<Scalar>, tags?: Tag | ArrayLike<Tag>, options?: { deadline?: Duration | bigint }): number;
  check(value: Scalar | ForeignObject): void;
  producer(): Producer<Scalar>;
  cancel(tag: Tag): number;
  lackOfRoom(): Lack | undefined;
  room(options?: { signal?: AbortSignal }): Promise<void>;
  seal(): void;
  flush(options?: { signal?: AbortSignal }): Promise<void>;
  stats(): Stats;
  statsText(): string;
}

/** A way into a batcher of its own: its values keep their order; that among several ways is given up for speed. */
export class Producer<T = any> {
  private constructor();
  /** Never waits. An aborted signal refuses the value with its reason; later, until the result comes, aborting cancels what waits with this tag. */
  push(value: T, tag?: Tag, options?: { signal?: AbortSignal; deadline?: Duration | bigint; size?: number }): void;
  /** How many were taken, which `accepted` of the error says if one is refused. Never waits; a signal is as for push. */
  pushMany(values: Iterable<T> | ArrayLike<T>, tags?: Tag | ArrayLike<Tag>, options?: { signal?: AbortSignal; deadline?: Duration | bigint }): number;
  check(value: T, options?: { size?: number }): void;
  free(): void;
  [Symbol.dispose](): void;
}

export interface MapOptions {
  maxBatchSize?: number;
  batches?: number;
  typedArrays?: boolean;
}
type MapHandler<T, R> = (values: T[], batch: Batch<T, R>) => Answer<R>;

/** Some values of a map failed. */
export class MapError<R = unknown> extends MicrobatchError {
  constructor(results: Results<R>, first: number);
  readonly results: Results<R>;
}

export declare const map: {
  <T, R>(values: Iterable<T> | ArrayLike<T>, handler: MapHandler<T, R>, options?: MapOptions): R[];
  results<T, R>(values: Iterable<T> | ArrayLike<T>, handler: MapHandler<T, R>, options?: MapOptions): Results<R>;
};

/** The address of a function in a shared library, which stays loaded. */
export function nativeSymbol(path: string, name: string): bigint;

/** Statuses of the library by name. */
export const status: Readonly<Record<string, number>>;
export const version: string;
