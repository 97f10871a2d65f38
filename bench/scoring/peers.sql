-- The peers inside the database: PyTorch in PL/Python, a row a call and by batches, on the weights in dlent_bench.peer_weights.

CREATE EXTENSION IF NOT EXISTS plpython3u;

-- Python that makes the network once a session.
CREATE OR REPLACE FUNCTION dlent_bench.torch_setup() RETURNS text LANGUAGE plpython3u AS $$
import os
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
import json
import numpy
import torch
torch.set_num_threads(1)
torch.set_flush_denormal(True)
stored = plpy.execute("SELECT description, weights FROM dlent_bench.peer_weights")[0]
description = json.loads(stored["description"])
weights = torch.from_numpy(numpy.frombuffer(stored["weights"], numpy.float32).copy())
center, scale = (torch.tensor(description[name]) for name in ("center", "scale"))
layers = []
for inputs, outputs in description["layers"]:
    weight, bias, weights = torch.split(weights, [inputs * outputs, outputs, len(weights) - inputs * outputs - outputs])
    layers.append((weight.reshape(inputs, outputs), bias))
inverse_limit, inverse_temperature = 1.0 / description["clip"], description["inverse_temperature"]

@torch.inference_mode()
def score(x):
    u = (x - center) * scale
    h = u / torch.sqrt(1.0 + (u * inverse_limit) ** 2)
    for weight, bias in layers[:-1]:
        h = torch.relu(torch.addmm(bias, h, weight))
    return torch.sigmoid(torch.addmm(layers[-1][1], h, layers[-1][0]) * inverse_temperature).flatten()

GD["score"], GD["torch"], GD["numpy"] = score, torch, numpy
return torch.__version__
$$;

-- A row a call: what one writes first.
SELECT format('CREATE OR REPLACE FUNCTION dlent_bench.torch_row(%s) RETURNS float8 LANGUAGE plpython3u AS '
              '$f$return float(GD["score"](GD["torch"].tensor([args])))$f$',
              string_agg(format('f%s float8', i), ', ' ORDER BY i)) FROM generate_series(1, 30) AS i \gexec

-- A batch a call, as an array of arrays.
CREATE OR REPLACE FUNCTION dlent_bench.torch_arrays(rows float8[]) RETURNS float8[] LANGUAGE plpython3u AS $$
return GD["score"](GD["torch"].tensor(rows)).tolist()
$$;

-- A batch a call, as the values' bytes: the fastest way known to us.
CREATE OR REPLACE FUNCTION dlent_bench.torch_bytes(rows bytea) RETURNS float8[] LANGUAGE plpython3u AS $$
x = GD["numpy"].frombuffer(rows, ">f8").astype("float32").reshape(-1, 30)
return GD["score"](GD["torch"].from_numpy(x)).tolist()
$$;
