// What the declarations must refuse: each line below a comment is an error, or the compiler says that it is none.
import { Batcher, SharedBatcher, map } from 'microbatch';

const batcher = new Batcher<number, string>((values) => values.map(String));
// @ts-expect-error: a string is no number
void batcher.submit('1');
// @ts-expect-error: the result is a string
const wrong: Promise<number> = batcher.submit(1);
// @ts-expect-error: there is no such option
new Batcher(null, { maxBatchSze: 1 });
// @ts-expect-error: there is no such choice
new Batcher(null, { onFull: 'explode' });
// @ts-expect-error: there is no such kind to pull
new Batcher(null, { pullHandlers: ['int46'] });
// @ts-expect-error: a level is a number
new Batcher(null, { log: (level: string) => {} });
// @ts-expect-error: there is no such kind
new Batcher({ int46: (values: bigint[]) => values });
// @ts-expect-error: the handler's results are not strings
new Batcher<number, string>((values) => values);
// @ts-expect-error: a tag is a number
batcher.push(1, 'tag');
// @ts-expect-error: a signal is no function
batcher.push(1, 1, { signal: () => {} });
// @ts-expect-error: results of another's batcher go to its owner
new SharedBatcher(1n).push(1, 1, { signal: AbortSignal.timeout(5) });
// @ts-expect-error: a producer takes what its batcher takes
batcher.producer().push('1');
// @ts-expect-error: a map's handler must not be async
map([1], async (values) => values);
export { wrong };
