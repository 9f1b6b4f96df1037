// What the declarations must accept.
import { Batcher, Batch, MapError, MicrobatchError, Producer, Results, SharedBatcher, Stats, map, nativeSymbol, status, version } from 'microbatch';

interface User {
  id: number;
}
const users = new Batcher<number, User>(
  async (ids, batch) => {
    const first: number = ids[0]!;
    const tags: BigUint64Array = batch.tags;
    return ids.map((id) => (id > first ? { id } : new Error(`no user ${id} in ${tags.length}`)));
  },
  { maxBatchSize: 500, maxInFlight: 4, maxDelay: '2ms', onResult: (results: Results<User>) => void results.error(0)?.message },
);
const user: User = await users.submit(1, { signal: AbortSignal.timeout(5), deadline: 50 });
users.push(2, 3n);
users.push(2, 4, { signal: AbortSignal.timeout(5) });
const taken: number = users.pushMany(Float64Array.of(1, 2), [1, 2n]);
try {
  users.push(3);
} catch (error) {
  if (error instanceof MicrobatchError && error.retriable && error.code === status.QUEUE_FULL) {
    await users.room();
  }
}
const left: number = await users.close(5);
const stats: Stats = users.stats();
new Batcher({ int64: (values: bigint[]) => values, string: { address: nativeSymbol('a', 'b'), data: 1n } });
const pulled = new Batcher<string, string>(null, { results: 'pull' });
for await (const batch of pulled.batches({ signal: AbortSignal.timeout(1) })) {
  const one: Batch<string, string> = batch;
  one.setAll(one.values.map((value) => value.toUpperCase()));
}
const halves: number[] = map([1, 2, 3], (values) => values.map((value) => value / 2), { batches: 2 });
const shared = new SharedBatcher(pulled.share());
shared.push('a', 1, { deadline: 5 });
shared.pushMany([1n, true, null], 7n);
await shared.flush({ signal: AbortSignal.timeout(1) });
const way: Producer<string> = pulled.producer();
way.push('a', 1, { signal: AbortSignal.timeout(5), size: 1 });
way.pushMany(['a', 'b'], [1, 2n], { signal: AbortSignal.timeout(5) });
way.free();
const many: Promise<User>[] = users.submitMany([1, 2], { deadline: '5ms' });
await Promise.all(many);
new Batcher({ address: nativeSymbol('a', 'b'), release: nativeSymbol('a', 'c') }, { threads: 2, log: (level: number, line: string) => {} });
const parts = new Batcher<number | string, number>(null, { pullHandlers: ['float64', 'default'], results: 'pull', mode: 'manual' });
const tags: BigUint64Array | undefined = parts.nextBatch()?.keep().completeNext((results) => results.tags);
{
  await using scoped = new Batcher<number, number>((values) => values);
  await scoped.submit(1);
}
export { MapError, tags, halves, left, stats, taken, user, version };
