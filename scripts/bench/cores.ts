/** What is measured has this core for itself. */
export const CHAIN_CORE = 0;
/** Load generator, servers behind the proxies, Redis and the benchmark share this one. */
export const LOAD_CORE = 1;
