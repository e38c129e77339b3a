// Asks a process of this container whether it is well:  node healthcheck.mjs PORT
const answer = await fetch(`http://127.0.0.1:${process.argv[2]}/health`).catch(() => undefined);
process.exitCode = answer?.ok ? 0 : 1;
