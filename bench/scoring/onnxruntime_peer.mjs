// Times ONNX Runtime on rows in memory, one thread. Reads a line of JSON per run ({"batch": N, "rows": M}) and answers each with
// {"seconds": S}; the first line of output is {"version": V, "scores": [...]}, the first scores at batch 1000.
//
// Usage: node onnxruntime_peer.mjs MODULE MODEL ROWS WIDTH SCORES

import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [modulePath, modelPath, rowsPath, width, scores] = process.argv.slice(2);
const require = createRequire(modulePath + "/");
const ort = require(modulePath);
const session = await ort.InferenceSession.create(modelPath, {
    executionProviders: ["cpu"], intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: "sequential",
});
const bytes = readFileSync(rowsPath);
const data = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const total = data.length / width;

async function score(batch, rows, keep) {
    // tensors are views of the rows: nothing is copied on this side
    const out = [];
    for (let at = 0; at < rows; at += batch) {
        const from = at % total;
        const count = Math.min(batch, rows - at, total - from);
        const x = new ort.Tensor("float32", data.subarray(from * width, (from + count) * width), [count, +width]);
        const { y } = await session.run({ x });
        if (keep)
            out.push(...y.data);
    }
    return out;
}

console.log(JSON.stringify({ version: require(modulePath + "/package.json").version, scores: await score(1000, +scores, true) }));
for await (const line of createInterface({ input: process.stdin })) {
    const { batch, rows } = JSON.parse(line);
    const start = process.hrtime.bigint();
    await score(batch, rows, false);
    console.log(JSON.stringify({ seconds: Number(process.hrtime.bigint() - start) / 1e9 }));
}
