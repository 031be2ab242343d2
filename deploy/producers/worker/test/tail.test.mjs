// What the Tail Worker forwards of real trace items (see tests/data/carriers/README.md), and how: `node --test`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";

import tail, { batches, keyOf, tellsOfPanic } from "../tail.js";

const items = (name) => JSON.parse(readFileSync(new URL(`../../../../tests/data/carriers/${name}.json`, import.meta.url)));
const forwarded = (name) => items(name).filter(tellsOfPanic).map((item) => new URL(item.event.request.url).pathname);

test("of an unwind build every panic and every hard abort is forwarded, and nothing else", () => {
  const expected = ["/unwrap", "/json", "/idx", "/slice", "/any", "/trap", "/so", "/oom"];
  assert.deepEqual(forwarded("tail_unwind_workerd-2026-11-17"), expected);
});

test("panics after the answer and in spawned work are forwarded, though their outcome is ok", () => {
  const name = "tail_unwind_waituntil_spawn_poison";
  assert.deepEqual(forwarded(name), ["/wait", "/spawn", "/poison", "/poison", "/post"]);
  const ok = items(name).filter((item) => item.outcome === "ok" && tellsOfPanic(item));
  assert.deepEqual(ok.map((item) => item.exceptions.length), [1, 0]);
});

test("of an abort build the panics are forwarded, and the item that says that the isolate began anew", () => {
  // `/err` and the three `/ok` come right after an abort: they carry `Reinitializing Wasm application`.
  const expected = ["/unwrap", "/json", "/idx", "/slice", "/any", "/err", "/trap", "/ok", "/so", "/ok", "/oom", "/ok"];
  assert.deepEqual(forwarded("tail_abort_workerd-2026-11-17"), expected);
});

const item = (fields) => ({ outcome: "ok", logs: [], exceptions: [], event: null, ...fields });
const log = (...message) => item({ logs: [{ level: "error", timestamp: 0, message }] });
const thrown = (exception) => item({ outcome: "exception", exceptions: [exception] });

for (const [name, told, expected] of [
  ["the structured line", log({ panic_event: { event_id: "e-1" } }), true],
  ["the structured line as text", log('{"panic_event":{"event_id":"e-1"}}'), true],
  ["what console_error_panic_hook prints", log("panicked at src/lib.rs:1:1:\nboom\n\nStack:\n\nError"), true],
  ["a caught PanicError that is logged", log("caught", "x panicked at src/lib.rs:1:1"), true],
  ["the critical line of worker 0.6.5", log("Error: Critical Rust panic: panicked at src/lib.rs:1:1:\nboom"), true],
  ["a call into a dead instance", thrown({ name: "Error", message: "Module terminated" }), true],
  ["a stack overflow in WebAssembly", thrown({ name: "RangeError", message: "Maximum call stack size exceeded" }), true],
  ["out of memory", item({ outcome: "exceededMemory" }), true],
  ["an error of JavaScript", thrown({ name: "TypeError", message: "x is not a function", stack: "  at a.js" }), false],
  ["an error that is answered", log("no such order"), false],
  ["a customer who writes about panics", item({ logs: [{ level: "log", message: ["he panicked at 9:00"] }] }), false],
  ["a client that went away", item({ outcome: "canceled" }), false],
  ["an item without lists", { outcome: "ok" }, false],
  ["nothing", null, false],
]) {
  test(`${name}: ${expected ? "forwarded" : "not forwarded"}`, () => assert.equal(tellsOfPanic(told), expected));
}

test("records are keyed by client and grouped by number and by bytes", () => {
  const [first] = items("tail_unwind_workerd-2026-11-17");
  first.event.request.headers["cf-connecting-ip"] = "203.0.113.9";
  assert.equal(keyOf(first), "203.0.113.9");
  assert.equal(keyOf(item({ scriptName: "api" })), "api");
  assert.deepEqual(batches([]), []);
  assert.deepEqual(batches(Array(250).fill(log("x"))).map((group) => group.length), [100, 100, 50]);
  const large = log("x".repeat(300 * 1024));
  assert.deepEqual(batches([large, large, large]).map((group) => group.length), [2, 1]);
});

// A bridge that gives the answers of a script, and what it was sent.
async function bridge(answers, work) {
  const seen = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      seen.push({ url: request.url, headers: request.headers, body: JSON.parse(body) });
      const [status, text] = answers.shift() ?? [200, '{"offsets":[]}'];
      response.writeHead(status).end(text);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const told = [];
  const { error } = console;
  console.error = (line) => told.push(line);
  try {
    let waiting;
    const env = { BRIDGE_URL: `http://127.0.0.1:${server.address().port}`, TOPIC: "worker panics", BRIDGE_AUTHORIZATION: "Basic x" };
    await work(async (sent) => {
      await tail.tail(sent, env, { waitUntil: (promise) => (waiting = promise) });
      await waiting;
    });
  } finally {
    console.error = error;
    server.close();
    server.closeAllConnections();
  }
  return { seen, told };
}

test("a batch is one request, with the item as it is", async () => {
  const all = items("tail_unwind_workerd-2026-11-17");
  const { seen, told } = await bridge([], (send) => send(all));
  assert.equal(seen.length, 1);
  assert.equal(seen[0].url, "/topics/worker%20panics");
  assert.equal(seen[0].headers["content-type"], "application/vnd.kafka.json.v2+json");
  assert.equal(seen[0].headers.authorization, "Basic x");
  assert.deepEqual(seen[0].body.records.map(({ value }) => value), all.filter(tellsOfPanic));
  assert.deepEqual(told, []);
});

test("a busy bridge is tried again, and one that refuses is told of", async () => {
  const panic = log({ panic_event: {} });
  const busy = await bridge([[503, ""], [200, '{"offsets":[{"error_code":50002}]}']], (send) => send([panic]));
  assert.equal(busy.seen.length, 3);
  assert.deepEqual(busy.told, []);
  const refused = await bridge([[401, "who are you"]], (send) => send([panic]));
  assert.equal(refused.seen.length, 1);
  assert.deepEqual(refused.told, ["1 trace items were not forwarded: 401 who are you"]);
  const none = await bridge([], (send) => send([log("nothing")]));
  assert.equal(none.seen.length, 0);
});
