#!/bin/sh
# A CI job: build the model, and fail where size or cost has grown by more than 2 % over the report that is kept in the repository.
# After a change that is meant to grow it: copy the new report.json over the baseline and commit it.
set -eu
cd "${1:-digits}" # the folder with edgekit.toml
"${EDGEKIT:-edgekit}" build --strict --target tflite-int8 --output edgekit-out --baseline baseline/report.json --max-growth 2%
