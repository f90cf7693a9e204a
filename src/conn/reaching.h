/* SPDX-License-Identifier: MIT */
/*
 * A client's way to its server, up to where HTTP begins: the name is looked up, the
 * addresses race (io/dial.h), a proxy is passed (tunneling.h), and for wss comes the
 * handshake of TLS (secure.h).
 */
#ifndef WSI_CONN_REACHING_H
#define WSI_CONN_REACHING_H

struct wsock_conn;

/** Begin, on the worker. */
void wsi_reaching_start(struct wsock_conn *conn);

/** The same for where it goes now (moving.h). */
void wsi_reaching_begin(struct wsock_conn *conn);

/** A socket of the connection is connected: go on from there. */
void wsi_reaching_connected(struct wsock_conn *conn);

/** Bytes go to the server and come from it: TLS, or ask. */
void wsi_reaching_through(struct wsock_conn *conn);

/** connect_timeout is over. */
void wsi_reaching_timeout(struct wsock_conn *conn);

/** Give up what is under way and is not the connection's socket. */
void wsi_reaching_stop(struct wsock_conn *conn);

#endif
