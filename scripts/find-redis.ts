// Makes sure that there is a Redis to start, before several test workers look for one at the same time.
import { findRedis } from "@gatehouse/testbed/redis-program";

try {
  const { server } = await findRedis();
  console.error(`redis: ${server}`);
} catch (error) {
  console.error(`redis: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
