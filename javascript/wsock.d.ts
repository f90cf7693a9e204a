// SPDX-License-Identifier: MIT
// Types of wsock.js; what things do is told there, and in docs/javascript.md.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Data = Json | ArrayBuffer | ArrayBufferView;

export interface Position {
  epoch: string;
  offset: number;
}

export interface Meta {
  room: string;
  event: string;
  from?: string;
  time: number;
  epoch?: string;
  offset?: number;
}

export interface StateChange {
  state: "connecting" | "open" | "waiting" | "closed";
  delay: number;
  code: number;
  reason: string;
}

export interface ClientOptions {
  token?: string | (() => string | Promise<string>) | null;
  name?: string | null;
  queue?: number;
  timeout?: number;
  backoff?: { first?: number; most?: number };
  WebSocket?: unknown;
}

export interface RoomOptions {
  recover?: boolean;
  info?: Json;
  token?: string | null;
}

export class RoomsError extends Error {
  constructor(code: string, text: string, retry: boolean);
  readonly code: string;
  readonly retry: boolean;
}

export function connect(url: string, options?: ClientOptions): Client;

export class Client {
  private constructor();
  readonly state: StateChange["state"];
  readonly identity: string | null;
  room(name: string, options?: RoomOptions): Room;
  call(name: string, args?: Json): Promise<any>;
  direct(identity: string, data: Data, options?: { event?: string }): Promise<number>;
  close(code?: number, reason?: string): void;
  on(event: "state", listener: (change: StateChange) => void): () => void;
  on(event: "direct", listener: (data: any, meta: Omit<Meta, "room">) => void): () => void;
  on(event: "away", listener: (away: { after: number; reconnect: boolean }) => void): () => void;
  on(event: "error", listener: (error: Error) => void): () => void;
  off(event: string, listener: (...args: any[]) => void): void;
}

export class Room {
  private constructor();
  readonly name: string;
  readonly count: number;
  readonly members: Set<string> | null;
  readonly infos: { [identity: string]: Json };
  readonly isJoined: boolean;
  readonly position: Position | null;
  ready(): Promise<Room>;
  publish(data: Data, options?: { event?: string; key?: string }): Promise<true | Position>;
  history(options?: { limit?: number; before?: number }): Promise<(Meta & { data: any; prev?: number })[]>;
  leave(): Promise<void>;
  on(event: "message" | `event:${string}`, listener: (data: any, meta: Meta) => void): () => void;
  on(event: "joined", listener: (joined: { recovered: boolean; count: number; members: string[] | null }) => void): () => void;
  on(event: "presence", listener: (change: { count: number; joined: string[]; left: string[] }) => void): () => void;
  on(event: "gap", listener: () => void): () => void;
  on(event: "left", listener: (reason: string) => void): () => void;
  on(event: "refused", listener: (error: RoomsError) => void): () => void;
  on(event: "waiting", listener: (waiting: { delay: number; error: RoomsError }) => void): () => void;
  off(event: string, listener: (...args: any[]) => void): void;
}
