// Tail Worker: forwards the trace items that tell of a panic to Kafka, through an HTTP bridge (Workers cannot speak
// Kafka's protocol). panicsift reads the items as they are: carrier `cloudflare_tail`.
//
// A filter on `outcome` alone is not enough: a panic in `ctx.waitUntil` or `spawn_local` has outcome `ok`, and outcome
// `exception` is also an ordinary JavaScript error. So each sign of a panic is looked for.

// Records and bytes in one request: REST proxies take a megabyte or more, a trace item has 256 KiB at most.
const RECORDS_MAX = 100;
const BYTES_MAX = 768 * 1024;

// Waits before further attempts; what still fails is told in the log of this Worker, with its number.
const RETRY_MS = [200, 1000, 3000];

// What V8 calls the traps that a Rust instance ends with.
const TRAPS =
  /unreachable|memory access out of bounds|divide by zero|divide result unrepresentable|remainder by zero|float unrepresentable in integer range|null function|table index is out of bounds|Maximum call stack size exceeded/;

// A hard abort in an unwind build leaves nothing but this, as a real hang does.
const HANG = "The Workers runtime canceled this request because it detected that your Worker's code had hung";

const BY_OUTCOME = new Set(["exceededMemory", "aborted"]);

export function tellsOfPanic(item) {
  return (
    BY_OUTCOME.has(item?.outcome) ||
    (item?.exceptions ?? []).some(isPanicException) ||
    (item?.logs ?? []).some(isPanicLog)
  );
}

function isPanicException({ name, message, stack } = {}) {
  const text = String(message ?? "");
  // `name` is "Error" in trace items, whatever was thrown: the stack has the name that was lost.
  return (
    name === "PanicError" ||
    String(stack ?? "").startsWith("PanicError: ") ||
    text.startsWith(HANG) ||
    text.includes("Module terminated") ||
    TRAPS.test(text)
  );
}

function isPanicLog({ level, message } = {}) {
  const [first, second] = Array.isArray(message) ? message : [message];
  // The structured line; some runtimes hand it over as text.
  if (first?.panic_event !== undefined || /^\{"panic_event":/.test(String(first))) return true;
  const text = String(first);
  return (
    (level === "error" && (text === "Critical" || /panicked at |^PanicError: /.test(`${text} ${second ?? ""}`))) ||
    // The instance before this one was aborted, and the new one serves.
    text === "Reinitializing Wasm application"
  );
}

// A client's events have one key, so that they stay in order.
export function keyOf(item) {
  const headers = item.event?.request?.headers ?? {};
  return headers["cf-connecting-ip"] ?? headers["cf-ray"] ?? item.scriptName ?? "worker";
}

// Groups of records, each small enough for one request.
export function batches(items) {
  const groups = [];
  let bytes = 0;
  for (const item of items) {
    const record = JSON.stringify({ key: keyOf(item), value: item });
    const group = groups.at(-1);
    if (group === undefined || group.length === RECORDS_MAX || bytes + record.length > BYTES_MAX) {
      groups.push([record]);
      bytes = record.length;
    } else {
      group.push(record);
      bytes += record.length;
    }
  }
  return groups;
}

async function post(group, env) {
  const request = {
    method: "POST",
    headers: {
      // Version 2 of the Kafka REST API: Confluent's proxy, Strimzi's bridge and Redpanda's proxy all take it.
      "content-type": "application/vnd.kafka.json.v2+json",
      ...(env.BRIDGE_AUTHORIZATION && { authorization: env.BRIDGE_AUTHORIZATION }),
    },
    body: `{"records":[${group.join(",")}]}`,
  };
  const url = `${env.BRIDGE_URL}/topics/${encodeURIComponent(env.TOPIC)}`;
  let fault;
  for (const wait of [0, ...RETRY_MS]) {
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    try {
      const answer = await fetch(url, request);
      const body = await answer.text();
      // An answer of 200 may refuse single records.
      if (answer.ok && !/"error_code":\s*[1-9]/.test(body)) return;
      fault = `${answer.status} ${body.slice(0, 200)}`;
      if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) break;
    } catch (error) {
      fault = String(error);
    }
  }
  // An attempt whose answer was lost is repeated, so a record may come twice.
  console.error(`${group.length} trace items were not forwarded: ${fault}`);
}

export default {
  async tail(items, env, ctx) {
    ctx.waitUntil(Promise.all(batches(items.filter(tellsOfPanic)).map((group) => post(group, env))));
  },
};
