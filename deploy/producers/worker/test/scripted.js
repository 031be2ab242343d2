// A Worker that behaves as Rust Workers do when they panic: thrown PanicErrors, Critical lines, traps, the structured
// line. It stands for one where no Rust toolchain for WebAssembly is at hand.

class PanicError extends Error {}
Object.defineProperty(PanicError.prototype, "name", { value: "PanicError" });

const text = "called `Option::unwrap()` on a `None` value";
const critical = () => console.error("Critical", new Error(`Rust panic: panicked at src/lib.rs:8:68:\n${text}`));


export default {
  async fetch(request, env, context) {
    switch (new URL(request.url).pathname) {
      case "/panic":
        critical();
        throw new PanicError(text);
      case "/late":
        context.waitUntil(
          (async () => {
            critical();
            throw new PanicError(text);
          })(),
        );
        return new Response("well");
      case "/spawned":
        critical();
        return new Response("well");
      case "/line":
        console.error({ panic_event: { event_id: "e-1", service: "shop", panic: { message: text } } });
        return new Response("no", { status: 500 });
      case "/trap":
        throw new WebAssembly.RuntimeError("unreachable");
      case "/hang":
        return new Promise(() => {});
      case "/error":
        throw new TypeError("an ordinary error");
      case "/refused":
        console.error("no such order");
        return new Response("no", { status: 500 });
      default:
        return new Response("well");
    }
  },
};
