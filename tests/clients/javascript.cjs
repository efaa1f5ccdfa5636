// The JavaScript client, driven: a line with a request comes in, a line with what was told goes out.
//
//     javascript.cjs CONNECTION URL COMPRESS
//
// driven.py says what the lines are. NODE_PATH says where the client is.
"use strict";
const readline = require("node:readline");
const elasticsearch = require("@elastic/elasticsearch");

const [connection, url, compress] = process.argv.slice(2);
const client = new elasticsearch.Client({
  node: url,
  compression: compress === "true",
  Connection: elasticsearch[connection],
});

async function ask(method, path, body) {
  try {
    const sent = Array.isArray(body) ? { bulkBody: body } : { body: body ?? undefined };
    return [null, null, await client.transport.request({ method, path, ...sent })];
  } catch (error) {
    if (!(error instanceof elasticsearch.errors.ElasticsearchClientError)) throw error;
    return [error.name, error.statusCode ?? null, error.body ?? error.message];
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await ask(...JSON.parse(line))));
  }
})();
