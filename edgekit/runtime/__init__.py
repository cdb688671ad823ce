"""Running artifacts in their real runtimes. Nothing here imports torch; runtimes are imported when first used."""
