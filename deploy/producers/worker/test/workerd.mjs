// The Tail Worker in real workerd, behind a scripted Worker and, where one was built, the Rust Worker:
//   tests/servers/workerd.sh test DIR [BUILT]
// Requests go to the Workers, their trace items through `tail.js` to a bridge in this process. With TAIL_FIXTURE=FILE
// all forwarded items are written to FILE.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { test } from "node:test";

const { Miniflare } = createRequire(`${process.env.WORKERD_MODULES}/`)("miniflare");
const here = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
const compatibilityDate = "2026-04-01";

// What the bridge was sent: items in the order of their requests.
const forwarded = [];
const server = createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    forwarded.push(...JSON.parse(body).records);
    response.end('{"offsets":[]}');
  });
});

async function run(worker, requests, n_expected) {
  forwarded.length = 0;
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const miniflare = new Miniflare({
    workers: [
      { ...worker, compatibilityDate, tails: ["tail"] },
      {
        name: "tail",
        modules: [{ type: "ESModule", path: "tail.js", contents: here("../tail.js") }],
        compatibilityDate,
        bindings: { BRIDGE_URL: `http://127.0.0.1:${server.address().port}`, TOPIC: "worker-panics" },
      },
    ],
  });
  try {
    const statuses = [];
    for (const [path, init] of requests) {
      const headers = { "cf-connecting-ip": "203.0.113.9", "cf-ray": "8f0aaaaaaaaaaaaa-AMS", ...init?.headers };
      const answer = await miniflare.dispatchFetch(`http://shop.example${path}`, { ...init, headers });
      await answer.text();
      statuses.push(answer.status);
    }
    const deadline = Date.now() + 10_000;
    while (forwarded.length < n_expected && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
    // What should not come has time to come.
    await new Promise((resolve) => setTimeout(resolve, 500));
    return statuses;
  } finally {
    await miniflare.dispose();
    await new Promise((resolve) => (server.close(resolve), server.closeAllConnections()));
    if (process.env.TAIL_FIXTURE) {
      const items = forwarded.map(({ value }) => value);
      writeFileSync(`${process.env.TAIL_FIXTURE}.${worker.name}.json`, `${JSON.stringify(items, null, 1)}\n`);
    }
  }
}

const paths = () => forwarded.map(({ value }) => new URL(value.event.request.url).pathname).sort();
const item = (path) => forwarded.find(({ value }) => value.event.request.url.endsWith(path)).value;

test("what tells of a panic is forwarded, whatever its outcome", async () => {
  const worker = { name: "scripted", modules: [{ type: "ESModule", path: "scripted.js", contents: here("scripted.js") }] };
  const asked = ["/ok", "/panic", "/late", "/spawned", "/line", "/trap", "/hang", "/error", "/refused"];
  await run(worker, asked.map((path) => [path]), 6);
  assert.deepEqual(paths(), ["/hang", "/late", "/line", "/panic", "/spawned", "/trap"]);
  assert.ok(forwarded.every(({ key }) => key === "203.0.113.9"));
  assert.equal(item("/late").outcome, "ok");
  assert.deepEqual([item("/spawned").outcome, item("/spawned").exceptions], ["ok", []]);
  // The name is lost on the way, and the stack has it.
  assert.deepEqual([item("/panic").exceptions[0].name, item("/panic").exceptions[0].stack.slice(0, 12)], ["Error", "PanicError: "]);
  // A plain object arrives as JSON.
  assert.equal(item("/line").logs[0].message[0].panic_event.event_id, "e-1");
});

test("the Rust Worker's structured line arrives with its trace item", { skip: !process.env.WORKER_BUILT }, async () => {
  const built = (name) => `${process.env.WORKER_BUILT}/${name}`;
  const worker = {
    name: "rust",
    modules: [
      { type: "ESModule", path: "shim.js", contents: readFileSync(built("shim.js"), "utf8") },
      { type: "ESModule", path: "index.js", contents: readFileSync(built("index.js"), "utf8") },
      { type: "CompiledWasm", path: "index_bg.wasm", contents: readFileSync(built("index_bg.wasm")) },
    ],
    bindings: { TOKEN_KEY: "a secret of the test" },
  };
  const order = (body) => ({ method: "POST", body, headers: { authorization: "Bearer the token", "user-agent": "acme/2.9" } });
  const asked = [
    ["/v1/products/1"],
    ["/v1/orders", order('{"items":[{"quantity":2}]}')],
    ["/v1/orders", order('{"items":[')],
    ["/v1/products/9"],
    ["/v1/coupons"],
  ];
  const statuses = await run(worker, asked, 3);
  assert.deepEqual(statuses.slice(0, 2), [200, 200]);
  const events = forwarded.flatMap(({ value }) =>
    value.logs.map(({ message }) => message[0]?.panic_event).filter((event) => event !== undefined));
  assert.equal(events.length, 3, JSON.stringify(forwarded, null, 1));
  const [ordered, product, coupon] = ["/v1/orders", "/v1/products/9", "/v1/coupons"].map((path) =>
    events.find((event) => event.path === path));
  assert.match(ordered.panic.message, /EOF while parsing a list/);
  assert.deepEqual([ordered.request.payload, ordered.request.payload_truncated], ['{"items":[', false]);
  assert.deepEqual([ordered.client.ip, ordered.request.id], ["203.0.113.9", "8f0aaaaaaaaaaaaa"]);
  assert.match(ordered.token.id_hash, /^[0-9a-f]{16}$/);
  assert.deepEqual([ordered.panic.file, typeof ordered.panic.line], ["src/lib.rs", "number"]);
  assert.match(product.panic.message, /the len is 3 but the index is 9/);
  assert.match(coupon.panic.message, /EOF while parsing an object/);
  assert.equal(new Set(events.map(({ event_id }) => event_id)).size, 3);
  assert.ok(!JSON.stringify(forwarded).includes("the token"));
});
