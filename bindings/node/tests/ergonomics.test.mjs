// What using it should feel like: a loader, with a table that stands for the database.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batcher } from 'microbatch';

test('a loader: two submits, one query', async () => {
  const queries = [];
  const db = {
    async query(text, [ids]) {
      queries.push(ids);
      return ids.filter((id) => id < 10).map((id) => ({ id, name: `user ${id}` }));
    },
  };
  const users = new Batcher(async (ids) => {
    const rows = await db.query('select * from users where id = any($1)', [ids]);
    const byId = new Map(rows.map((r) => [r.id, r]));
    return ids.map((id) => byId.get(id) ?? new Error(`no user ${id}`));
  }, { maxBatchSize: 500, maxInFlight: 4 });
  const [a, b] = await Promise.all([users.submit(1), users.submit(2)]);
  await assert.rejects(users.submit(10), /no user 10/);
  await users.close();
  assert.deepEqual([a.name, b.name, queries], ['user 1', 'user 2', [[1, 2], [10]]]);
});
