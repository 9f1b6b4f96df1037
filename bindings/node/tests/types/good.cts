// The same declarations for require.
import microbatch = require('microbatch');

const batcher = new microbatch.Batcher<number, number>((values) => values);
export const answer: Promise<number> = batcher.submit(1);
