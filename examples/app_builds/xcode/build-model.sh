#!/bin/sh
# A run-script phase before "Copy Bundle Resources". Xcode's PATH is short: EDGEKIT may name the command in full.
set -eu
cd "${SRCROOT}/digits" # the folder with edgekit.toml
"${EDGEKIT:-edgekit}" build --target tflite-int8 --output "${DERIVED_FILE_DIR}/model"
mkdir -p "${TARGET_BUILD_DIR}/${UNLOCALIZED_RESOURCES_FOLDER_PATH}"
cp "${DERIVED_FILE_DIR}/model/tflite-int8/digits.tflite" "${TARGET_BUILD_DIR}/${UNLOCALIZED_RESOURCES_FOLDER_PATH}/"
