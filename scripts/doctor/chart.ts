import type { HostConfig } from "@gatehouse/shared/host-config";
import type { DoctorRequest } from "./request.ts";
import type { DoctorStore } from "./store.ts";
import { Wire, type Answer, type WirePlace } from "./wire.ts";

/** What `registration_endpoint` gave us: to be deleted again. */
export interface Registered {
  readonly id: string;
  readonly secret: string | undefined;
  readonly managementUrl: string;
  readonly managementToken: string;
  readonly redirectUri: string;
  readonly authMethod: string;
}

/** What the authorization server says about itself. */
export type ServerMetadata = Readonly<Record<string, unknown>> & { readonly issuer: string };

/** The notes of one examination: later steps read what earlier ones have found. */
export class Chart {
  readonly request: DoctorRequest;
  readonly store: DoctorStore;
  readonly startedAt: number = Date.now();
  /** Tells the person at the keyboard, at once. */
  readonly tell: (text: string) => void;
  /** Raised when nobody wants to know any more. */
  readonly stop: AbortSignal;
  addresses: readonly string[] = [];
  /** The host config as stored, when it is readable. */
  config: HostConfig | undefined;
  /** To a call of the endpoint without a token. */
  unauthorized: Answer | undefined;
  isProtected: boolean | undefined;
  server: ServerMetadata | undefined;
  /** The scopes that the resource asks for. */
  scopes: readonly string[] = [];
  readonly registered: Map<string, Registered> = new Map();
  token: string | undefined;
  /** The step that found the token to be no good; it is not sent any more then. */
  tokenRefusedBy: string | undefined;
  refreshToken: string | undefined;
  session: string | undefined;
  /** False once the endpoint has answered with something that is not MCP. */
  isMcp = true;
  #wire: Wire | undefined;

  constructor(
    request: DoctorRequest,
    store: DoctorStore,
    { tell, stop }: { readonly tell: (text: string) => void; readonly stop: AbortSignal },
  ) {
    this.request = request;
    this.store = store;
    this.tell = tell;
    this.stop = stop;
  }

  get origin(): string {
    const { hostname, port } = this.request;
    return new URL(`https://${hostname}:${port}`).origin;
  }

  get endpoint(): URL {
    return new URL(this.request.path ?? this.config?.resource_endpoint ?? "/mcp", this.origin);
  }

  /** Where to connect: as told, else what the name resolved to. */
  get place(): WirePlace {
    const { address, hostname, port, ca } = this.request;
    return {
      host: address?.host ?? this.addresses[0] ?? hostname,
      port: address?.port ?? port,
      servername: hostname,
      ca,
    };
  }

  /** Over verified TLS to that place. */
  get wire(): Wire {
    return (this.#wire ??= new Wire(this.place));
  }

  /** A URL of this origin. */
  at(path: string): URL {
    return new URL(path, this.origin);
  }

  close(): void {
    this.#wire?.close();
  }
}
