import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { startPebble, type Pebble } from "@gatehouse/testbed/pebble";
import type { PebblePrograms } from "@gatehouse/testbed/pebble-program";
import { HEADER, HOSTNAME, openBed, type Bed, type Front } from "./front-bed.ts";
import { ManualClock } from "./manual-clock.ts";

/** A bed with an authority that reaches the instances as through a dispatcher. */
export interface AcmeBed {
  readonly bed: Bed;
  readonly pebble: Pebble;
  /** Where the authority's connections go, in turn; empty: nowhere. */
  readonly reached: Front[];
  /** From now on the authority's connections are accepted and never answered, so that its check stays under way. */
  holdChecks(): void;
  /** Ends what was held; new connections are answered again. */
  releaseChecks(): void;
  /** Starts an instance that asks the authority; `clock` is the one of this instance. */
  start(env?: Record<string, string>, clock?: ManualClock): Promise<Front>;
  close(): Promise<void>;
}

/** What a host needs to ask for certificates. */
function acmeEnvironment(pebble: Pebble): Record<string, string> {
  return {
    GATEHOUSE_CERTIFICATE_FILE: "",
    GATEHOUSE_CERTIFICATE_KEY_FILE: "",
    GATEHOUSE_ACME_DIRECTORY_URL: pebble.directoryUrl,
    GATEHOUSE_ACME_CA_FILE: pebble.authority.caPath,
    GATEHOUSE_ACME_EMAIL: "operator@example.org",
    GATEHOUSE_ACME_TERMS_AGREED: "yes",
  };
}

export async function openAcmeBed(programs: PebblePrograms): Promise<AcmeBed> {
  const bed = await openBed();
  await bed.configure({ certificate: "acme" });
  const reached: Front[] = [];
  const held = new HeldConnections();
  const door = await openDoor(reached, held);
  const { port: tlsPort } = door.address() as AddressInfo;
  const pebble = await startPebble(programs, { tlsPort, httpPort: 1 });
  return {
    bed,
    pebble,
    reached,
    holdChecks: () => held.hold(),
    releaseChecks: () => held.release(),
    start: async (env = {}, clock = new ManualClock()) => {
      const front = await bed.start({ ...acmeEnvironment(pebble), ...env }, { clock });
      reached.push(front);
      return front;
    },
    close: async () => {
      held.release();
      door.close();
      await bed.close();
      await pebble.stop();
    },
  };
}

class HeldConnections {
  readonly #sockets: Socket[] = [];
  #isHolding = false;

  hold(): void {
    this.#isHolding = true;
  }

  release(): void {
    this.#isHolding = false;
    for (const socket of this.#sockets.splice(0)) socket.destroy();
  }

  /** Whether it was taken. */
  take(socket: Socket): boolean {
    if (this.#isHolding) this.#sockets.push(socket);
    return this.#isHolding;
  }
}

/** Puts a PROXY header in front of each connection and passes it on, as a dispatcher does. */
async function openDoor(reached: Front[], held: HeldConnections): Promise<Server> {
  const door = createServer((socket) => {
    socket.on("error", () => undefined);
    if (held.take(socket)) return;
    const front = reached.shift();
    if (!front) {
      socket.destroy();
      return;
    }
    reached.push(front);
    const [address = ""] = front.instance.addresses;
    const inner = connect(Number(address.split(":").at(-1)), "127.0.0.1");
    inner.on("error", () => undefined);
    inner.write(HEADER);
    socket.pipe(inner).pipe(socket);
  });
  door.listen(0, "127.0.0.1");
  await once(door, "listening");
  return door;
}

/** Keys of the store that begin so. */
export async function keysOf(bed: Bed, prefix: string): Promise<string[]> {
  return bed.store.keys(`${prefix}*`);
}

/** The serial number of the certificate in force. */
export async function servedSerial(front: Front): Promise<string> {
  const socket = await front.connect({ rejectUnauthorized: false });
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

/** What stands in `cert:{hostname}`. */
export async function storedCertificate(bed: Bed): Promise<Record<string, string>> {
  return JSON.parse((await bed.store.get(`cert:${HOSTNAME}`)) ?? "{}") as Record<string, string>;
}
