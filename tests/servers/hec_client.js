// Sends events through splunk-logging, all in one batch: HOST PORT TOKEN INDEX SOURCETYPE COUNT.
// One JSON line: {"ok": true} when the server said code 0, or {"error": code} when the library called its error handler.

const { createRequire } = require("module");
const Logger = createRequire(process.cwd() + "/")("splunk-logging").Logger;

const [host, port, token, index, sourcetype, count] = process.argv.slice(2);
const logger = new Logger({ token, url: `http://${host}:${port}`, maxBatchCount: 0 });
let failure = null;
logger.error = (error) => {
  failure = error;
};
for (let number = 0; number < Number(count); number++) {
  logger.send({
    message: { number, text: 'Zoë says "7 € \\ 8"' },
    metadata: { index, sourcetype, source: "a logger", host: "js.example" },
  });
}
logger.flush((error, response, body) => {
  const said = failure || error;
  if (said) console.log(JSON.stringify({ error: said.code || String(said) }));
  else console.log(JSON.stringify({ ok: body.code === 0, ackId: body.ackId }));
});
